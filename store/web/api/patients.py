"""Patients over HTTP: look up, history, the toggle, the preferred phone and SMS consent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from msgspec import Struct

from store.audit.audit_log import VIEWED, VIEWED_HISTORY, Audit
from store.domain.lock import Grant, Role
from store.domain.patient import Patient, PatientRef
from store.domain.sms_consent import OPT_IN
from store.errors import PatientUnknown
from store.patients.finding import Finder, FoundPatient
from store.patients.preferences import Preferences
from store.patients.search import PHONE
from store.web.api.endpoint import ApiResponse, Call, Endpoint, etag, if_match
from store.web.api.facesheet import EntryOut, IdentifierOut, PatientOut, facesheet, history_line
from store.web.api.wire import DoNotContactIn, Line, LookupIn, PreferredPhoneIn, SmsConsentIn, SmsReplyIn, SmsReplyOut, answered
from store.web.http.look_ups import noted
from store.web.http.problem import ProblemDetails
from store.web.http.unknown_patients import LookUps

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF, Role.AUDITOR})
PEOPLE = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF})
PATIENT = "/v1/patients/{patient_id:str}"


class PhoneIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A phone number: in E.164, or as dialled in the enterprise's region."""

    phone: Line


class PatientByPhone(Struct, frozen=True):
    """A patient with the number. ``in_force``: it is theirs now; otherwise it was, or it belongs to a record that does not count."""

    id: str
    name: str | None
    birth_date: str | None
    identifiers: tuple[IdentifierOut, ...]
    in_force: bool


class PatientsByPhone(Struct, frozen=True):
    """The patients with a number, those who have it now first. ``more``: there are others."""

    patients: tuple[PatientByPhone, ...]
    more: bool


class PatientCalls:
    """The endpoints for patients."""

    def __init__(self, store: Preferences, look_ups: LookUps) -> None:
        self.store, self.audit, self.look_ups, self.finder = store, Audit(store.database), look_ups, Finder(store)

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints. Managers and staff may try to set the toggle: if it is locked, the store refuses with the reason."""
        recorders = frozenset({Role.ENTERPRISE, Role.STAFF})
        sender = frozenset({Role.SENDER})
        looking = partial(Endpoint, grant=Grant.PATIENTS)
        return (
            looking("POST", "/v1/patients/lookup", READERS, "Find a patient by identifier", self.lookup, LookupIn, PatientOut),
            Endpoint("POST", "/v1/patients/by-phone", READERS, "Find patients by phone", self.by_phone, PhoneIn, PatientsByPhone),
            looking("GET", PATIENT, READERS, "Read a patient by the store's id", self.read, None, PatientOut),
            looking("GET", f"{PATIENT}/history", READERS, "History of all changes", self.history, None, list[EntryOut]),
            Endpoint("PUT", f"{PATIENT}/do-not-contact", PEOPLE, "Set Do Not Contact", self.do_not_contact, DoNotContactIn, PatientOut),
            Endpoint("PUT", f"{PATIENT}/preferred-phone", recorders, "Set the preferred phone", self.phone, PreferredPhoneIn, PatientOut),
            Endpoint("POST", f"{PATIENT}/sms-consent", recorders, "Record SMS consent", self.sms_consent, SmsConsentIn, PatientOut),
            Endpoint("POST", "/v1/sms-replies", sender, "Forward an SMS reply: STOP, START", self.reply, SmsReplyIn, SmsReplyOut),
        )

    def lookup(self, call: Call) -> ApiResponse:
        """The patient with the identifier in the body."""
        return self._viewed(call, self._found(call, call.body.ref()))

    def by_phone(self, call: Call) -> ApiResponse:
        """The patients with the phone in the body: a number in a URL would be in the logs of every proxy."""
        found = self.finder.find_by_phone(call.enterprise, call.body.phone, actor=call.who, now=call.now)
        self.look_ups.count(call.key, 1, not found.patients)
        return ApiResponse(PatientsByPhone(tuple(map(_listed, found.patients)), found.more or found.unfinished))

    def read(self, call: Call) -> ApiResponse:
        """The patient by id; 304 if the caller already has this version."""
        patient = self._found(call, PatientRef(id=call.path["patient_id"]))
        if call.headers.get("if-none-match", "").strip() == etag(patient.version)["etag"]:
            return ApiResponse(None, etag(patient.version), 304)
        return self._viewed(call, patient)

    def history(self, call: Call) -> ApiResponse:
        """The history, the newest entry first."""
        with self._look_up(call):
            entries = self.store.history(call.enterprise, call.path["patient_id"])
        self.audit.note(call.enterprise, VIEWED_HISTORY, call.path["patient_id"], actor=call.who, now=call.now)
        return ApiResponse([history_line(entry) for entry in entries])

    def do_not_contact(self, call: Call) -> ApiResponse:
        """Sets the toggle. The store decides who may do that and gives the reason if not."""
        patient = self.store.set_do_not_contact(
            call.enterprise, call.path["patient_id"], call.body.value,
            actor=call.actor, reason=call.body.reason, now=call.now, if_version=if_match(call.headers),
        )  # fmt: skip
        return self._shown(call, patient)

    def phone(self, call: Call) -> ApiResponse:
        """Sets the preferred phone."""
        patient = self.store.set_preferred_phone(
            call.enterprise, call.path["patient_id"], call.body.value, actor=call.actor, now=call.now, if_version=if_match(call.headers)
        )
        return self._shown(call, patient)

    def sms_consent(self, call: Call) -> ApiResponse:
        """Records what a patient requested in person or by phone."""
        body: SmsConsentIn = call.body
        details: dict[str, Any] = {"line": body.line, "topic": body.topic, "actor": call.actor, "now": call.now, "reason": body.reason}
        enterprise, patient = call.enterprise, call.path["patient_id"]
        if body.number is not None:
            return self._shown(call, self.store.record_sms_opt_in(enterprise, patient, body.number, **details))
        return self._shown(call, self.store.record_sms_opt_out(enterprise, patient, **details))

    def reply(self, call: Call) -> ApiResponse:
        """Records a reply to a text. Without a time it was received now. So was an opt-out with an unusable time: it must not be lost."""
        body: SmsReplyIn = call.body
        text, at = body.body.replace("\0", " "), body.received()
        if at is None and body.received_at is not None and self.store.read_reply(call.enterprise, text).kind == OPT_IN:
            raise ProblemDetails(422, "invalid_request", "received_at must be a time with UTC offset, like 2026-11-02T10:42:00Z")
        reply = self.store.record_reply(call.enterprise, body.line, body.sender, text, at, call.now, answered(body.in_reply_to))
        return ApiResponse(SmsReplyOut(*reply))

    def _found(self, call: Call, ref: PatientRef) -> Patient:
        with self._look_up(call):
            return self.store.find(call.enterprise, ref, call.now)

    @contextmanager
    def _look_up(self, call: Call) -> Iterator[None]:
        """Counts a look-up, and records one that found nobody in the audit log."""
        unknown = False
        try:
            with noted(self.audit, call.enterprise, call.who, call.now):
                yield
        except PatientUnknown:
            unknown = True
            raise
        finally:
            self.look_ups.count(call.key, 1, unknown)

    def _viewed(self, call: Call, patient: Patient) -> ApiResponse:
        """Shows a patient, after an entry in the audit log."""
        self.audit.note(call.enterprise, VIEWED, patient.id, actor=call.who, now=call.now, version=patient.version)
        return self._shown(call, patient)

    def _shown(self, call: Call, patient: Patient) -> ApiResponse:
        toggle = self.store.toggle(call.enterprise, patient, call.key.role)
        return ApiResponse(facesheet(patient, toggle, self.store.enterprises[call.enterprise]), etag(patient.version))


def _listed(one: FoundPatient) -> PatientByPhone:
    return PatientByPhone(one.id, one.name, one.birth_date, tuple(IdentifierOut(*name) for name in one.identifiers), one.by == PHONE)
