"""Audit data over HTTP: a patient as known at an earlier time, the audit log and decision receipts. Views of patients are logged too."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from store.audit.audit_log import VIEWED_AS_OF, VIEWED_RECEIPTS, Audit
from store.audit.receipts import Receipts
from store.domain.ids import parsed
from store.domain.lock import Role
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.patients.preferences import Preferences
from store.web.api.audit_json import AsOfOut, AuditOut, as_of_out, audit_out
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.wire import time_parameter, whole_number
from store.web.http.look_ups import noted
from store.web.http.problem import ProblemDetails

AUDITORS = frozenset({Role.AUDITOR})
VIEWERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF, Role.AUDITOR})
PATIENT = "/v1/patients/{patient_id:str}"
LIMIT = {"limit": "maximum number of entries, up to 1000"}


class AuditCalls:
    """The endpoints for audit data."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.audit, self.receipts = store, Audit(store.database), Receipts(store.database)

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints."""
        at = {"at": "a time with UTC offset, like 2026-11-02T10:42:00Z"}
        filters = {**LIMIT, "patient": "only entries about this patient (the store's id)"}
        return (
            Endpoint("GET", f"{PATIENT}/as-of", VIEWERS, "Data known at an earlier time", self.as_of, None, AsOfOut, at),
            Endpoint("GET", f"{PATIENT}/receipts", AUDITORS, "Stored decisions", self.patient_receipts, None, list[AuditOut], LIMIT),
            Endpoint("GET", "/v1/decisions/{decision_id:str}", VIEWERS, "A stored decision by its id", self.decision, None, AuditOut),
            Endpoint("GET", "/v1/audit", AUDITORS, "Audit log", self.log, None, list[AuditOut], filters),
        )

    def as_of(self, call: Call) -> ApiResponse:
        """The patient as known at an earlier time."""
        at = _time(call)
        with noted(self.audit, call.enterprise, call.who, call.now):
            found = self.store.as_of(call.enterprise, PatientRef(id=call.path["patient_id"]), at)
        self._note_view(call, VIEWED_AS_OF, found.id)
        return ApiResponse(as_of_out(found))

    def patient_receipts(self, call: Call) -> ApiResponse:
        """The receipts of a patient, the newest first."""
        patient = self._patient(call, call.path["patient_id"])
        with noted(self.audit, call.enterprise, call.who, call.now):
            self.store.find(call.enterprise, PatientRef(id=patient))
        self._note_view(call, VIEWED_RECEIPTS, patient)
        return ApiResponse([audit_out(one) for one in self.receipts.newest(call.enterprise, patient, _limit(call))])

    def decision(self, call: Call) -> ApiResponse:
        """The receipt of one decision. Without receipts there is none to be found."""
        return ApiResponse(audit_out(self.receipts.viewed(call.enterprise, call.path["decision_id"], self.audit, call.who, call.now)))

    def log(self, call: Call) -> ApiResponse:
        """The audit log, the newest entry first."""
        patient = call.query.get("patient")
        subject = self._patient(call, patient) if patient is not None else None
        return ApiResponse([audit_out(one) for one in self.audit.newest(call.enterprise, subject, _limit(call))])

    def _patient(self, call: Call, number: str) -> str:
        """A valid id of a patient. Entries about a merged record stay under its own id."""
        if parsed(number) is None:
            raise PatientUnknown("no such patient in this enterprise")
        return number

    def _note_view(self, call: Call, action: str, subject: str) -> None:
        self.audit.note(call.enterprise, action, subject, actor=call.who, now=call.now)


def _limit(call: Call) -> int:
    return whole_number(call.query, "limit", 100, 1_000)


def _time(call: Call) -> datetime:
    at = time_parameter(call.query, "at")
    if at is None:
        raise ProblemDetails(422, "invalid_request", "at is missing: give a time with UTC offset, like 2026-11-02T10:42:00Z")
    return at
