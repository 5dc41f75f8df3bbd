"""Look-ups that found nobody: each is an audit log entry, without the identifier, so that guessing of identifiers is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from store.audit.audit_log import LOOKED_IN_VAIN, Audit
from store.errors import IdentifierAmbiguous, PatientUnknown


@contextmanager
def noted(audit: Audit, enterprise: str, actor: str, now: datetime) -> Iterator[None]:
    """Writes the entry if the block finds no patient or several, and re-raises its error."""
    try:
        yield
    except (PatientUnknown, IdentifierAmbiguous) as error:
        why = "unknown" if isinstance(error, PatientUnknown) else "ambiguous"
        audit.note(enterprise, LOOKED_IN_VAIN, "", actor=actor, now=now, why=why)
        raise
