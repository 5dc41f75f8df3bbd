"""Patients over HTTP: look up, history, the toggle, the preferred phone and SMS consent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from store.audit.audit_log import VIEWED, VIEWED_HISTORY, Audit
from store.domain.lock import Grant, Role
from store.domain.patient import Patient, PatientRef
from store.domain.sms_consent import OPT_IN
from store.errors import PatientUnknown
from store.patients.preferences import Preferences
from store.web.api.endpoint import ApiResponse, Call, Endpoint, etag, if_match
from store.web.api.facesheet import EntryOut, PatientOut, facesheet, history_line
from store.web.api.wire import DoNotContactIn, PatientIn, PreferredPhoneIn, SmsConsentIn, SmsReplyIn, SmsReplyOut
from store.web.http.look_ups import noted
from store.web.http.problem import ProblemDetails
from store.web.http.unknown_patients import LookUps

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF, Role.AUDITOR})
PEOPLE = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF})
PATIENT = "/v1/patients/{patient_id:str}"


class PatientCalls:
    """The answers about patients, from the store."""

    def __init__(self, store: Preferences, look_ups: LookUps) -> None:
        self.store, self.audit, self.look_ups = store, Audit(store.database), look_ups

    def endpoints(self) -> Iterable[Endpoint]:
        """Rows of the contract. Managers and staff may ask to flip the toggle: the lock answers them, with the reason."""
        recorders = frozenset({Role.ENTERPRISE, Role.STAFF})
        sender = frozenset({Role.SENDER})
        looking = partial(Endpoint, grant=Grant.PATIENTS)
        return (
            looking("POST", "/v1/patients/lookup", READERS, "Find a patient by identifier", self.lookup, PatientIn, PatientOut),
            looking("GET", PATIENT, READERS, "Read a patient by the store's id", self.read, None, PatientOut),
            looking("GET", f"{PATIENT}/history", READERS, "History of all changes", self.history, None, list[EntryOut]),
            Endpoint("PUT", f"{PATIENT}/do-not-contact", PEOPLE, "Set Do Not Contact", self.do_not_contact, DoNotContactIn, PatientOut),
            Endpoint("PUT", f"{PATIENT}/preferred-phone", recorders, "Set the preferred phone", self.phone, PreferredPhoneIn, PatientOut),
            Endpoint("POST", f"{PATIENT}/sms-consent", recorders, "Record SMS consent", self.sms_consent, SmsConsentIn, PatientOut),
            Endpoint("POST", "/v1/sms-replies", sender, "Forward an SMS reply: STOP, START", self.reply, SmsReplyIn, SmsReplyOut),
        )

    def lookup(self, call: Call) -> ApiResponse:
        """The patient that the identifier in the body names."""
        return self._viewed(call, self._found(call, call.body.ref()))

    def read(self, call: Call) -> ApiResponse:
        """The patient by id; nothing but 304 when the caller has this version."""
        patient = self._found(call, PatientRef(id=call.path["patient_id"]))
        if call.headers.get("if-none-match", "").strip() == etag(patient.version)["etag"]:
            return ApiResponse(None, etag(patient.version), 304)
        return self._viewed(call, patient)

    def history(self, call: Call) -> ApiResponse:
        """The history, the newest line first."""
        with self._noted(call):
            entries = self.store.history(call.enterprise, call.path["patient_id"])
        self.audit.note(call.enterprise, VIEWED_HISTORY, call.path["patient_id"], actor=call.who, now=call.now)
        return ApiResponse([history_line(entry) for entry in entries])

    def do_not_contact(self, call: Call) -> ApiResponse:
        """The toggle. The store decides who may flip it, and says why not."""
        patient = self.store.set_do_not_contact(
            call.enterprise, call.path["patient_id"], call.body.value,
            actor=call.actor, reason=call.body.reason, now=call.now, if_version=if_match(call.headers),
        )  # fmt: skip
        return self._shown(call, patient)

    def phone(self, call: Call) -> ApiResponse:
        """The preferred phone."""
        patient = self.store.set_preferred_phone(
            call.enterprise, call.path["patient_id"], call.body.value, actor=call.actor, now=call.now, if_version=if_match(call.headers)
        )
        return self._shown(call, patient)

    def sms_consent(self, call: Call) -> ApiResponse:
        """What a patient asked for in person or by phone."""
        said: SmsConsentIn = call.body
        how: dict[str, Any] = {"line": said.line, "topic": said.topic, "actor": call.actor, "now": call.now, "reason": said.reason}
        enterprise, patient = call.enterprise, call.path["patient_id"]
        if said.number is not None:
            return self._shown(call, self.store.record_sms_opt_in(enterprise, patient, said.number, **how))
        return self._shown(call, self.store.record_sms_opt_out(enterprise, patient, **how))

    def reply(self, call: Call) -> ApiResponse:
        """A reply to a text. One without a time was received now; so was an opt-out whose time cannot be used: it must not be lost."""
        said: SmsReplyIn = call.body
        text, at = said.body.replace("\0", " "), said.received()
        if at is None and said.received_at is not None and self.store.read_reply(call.enterprise, text).kind == OPT_IN:
            raise ProblemDetails(422, "invalid_request", "received_at must be a time with UTC offset, like 2026-11-02T10:42:00Z")
        reply = self.store.record_reply(call.enterprise, said.line, said.sender, text, at, call.now)
        return ApiResponse(SmsReplyOut(reply.kind, reply.scope, reply.confirmation, reply.patients))

    def _found(self, call: Call, ref: PatientRef) -> Patient:
        with self._noted(call):
            return self.store.find(call.enterprise, ref, call.now)

    @contextmanager
    def _noted(self, call: Call) -> Iterator[None]:
        """Counts the look-up, and writes down one that found nobody."""
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
        """Nobody sees a patient without a line in the audit log."""
        self.audit.note(call.enterprise, VIEWED, patient.id, actor=call.who, now=call.now, version=patient.version)
        return self._shown(call, patient)

    def _shown(self, call: Call, patient: Patient) -> ApiResponse:
        toggle = self.store.toggle(call.enterprise, patient, call.key.role)
        return ApiResponse(facesheet(patient, toggle, self.store.enterprises[call.enterprise]), etag(patient.version))
