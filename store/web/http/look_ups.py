"""Look-ups that found nobody: each is a line of the audit log, without what was looked for, so that trying identifiers shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from store.audit.audit_log import LOOKED_IN_VAIN, Audit
from store.errors import IdentifierAmbiguous, PatientUnknown


@contextmanager
def noted(audit: Audit, enterprise: str, actor: str, now: datetime) -> Iterator[None]:
    """Writes the line where the block finds no patient, or several, and raises what it raised."""
    try:
        yield
    except (PatientUnknown, IdentifierAmbiguous) as error:
        why = "unknown" if isinstance(error, PatientUnknown) else "ambiguous"
        audit.note(enterprise, LOOKED_IN_VAIN, "", actor=actor, now=now, why=why)
        raise
