"""The HTTP API's responses for callers inside the process: a facesheet, a decision."""

from __future__ import annotations

from typing import Any

from store.audit.receipts import Receipts
from store.domain.decision import decide
from store.domain.decision_request import DecisionRequest, KnownPatient, identified
from store.domain.ids import parsed
from store.domain.patient import Patient, PatientRef
from store.errors import PatientUnknown, StoreError
from store.web.api.facesheet import as_json, facesheet
from sync.runtime import Runtime


def reference(text: str) -> PatientRef:
    """The patient named by an argument of the command line."""
    authority, bar, value = text.rpartition("|")
    if bar:
        return PatientRef(authority=authority, value=value)
    return PatientRef(id=text) if parsed(text) is not None else PatientRef(value=text)


def sheet_of(runtime: Runtime, found: Patient, role: str) -> dict[str, Any]:
    """The facesheet, as in the HTTP API."""
    toggle = runtime.preferences.toggle(found.enterprise, found, role)
    sheet: dict[str, Any] = as_json(facesheet(found, toggle, runtime.configurations[found.enterprise]))
    return sheet


def decision_of(runtime: Runtime, enterprise: str, ref: PatientRef, ask: DecisionRequest, actor: str = "") -> dict[str, Any]:
    """The decision, as in the HTTP API, requested by ``actor``. Raises ``IdentifierAmbiguous``; an unknown patient is a refusal."""
    now = runtime.clock()
    found = runtime.preferences.known(enterprise, [ref], now)[0]
    if isinstance(found, StoreError) and not isinstance(found, PatientUnknown):
        raise found
    known = found if isinstance(found, KnownPatient) else None
    policy = runtime.preferences.settings.get(enterprise).policy
    (decision,) = identified([decide(ask, known, policy, now)], [known])
    if policy.decision_receipts:
        Receipts(runtime.database).keep(enterprise, [ask], [found], [decision], [actor], now)
    plain: dict[str, Any] = as_json(decision)
    return plain
