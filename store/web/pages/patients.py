"""Staff's pages about one patient: view the facesheet, and change values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from store.audit.audit_log import VIEWED, Audit
from store.domain.decision import decide, refused
from store.domain.decision_request import DecisionRequest, KnownPatient
from store.domain.lock import Role
from store.domain.patient import Patient, PatientRef
from store.domain.reasons import PATIENT_UNKNOWN
from store.domain.sms_consent import of_texts
from store.errors import PatientUnknown, StoreError
from store.patients.preferences import Preferences
from store.patients.unmerge import merged_records
from store.preference import PHONES, PREFERRED_METHOD, PREFERRED_PHONE
from store.web.api.facesheet import channel_opt_outs
from store.web.api.wire import check_line
from store.web.http.look_ups import noted
from store.web.http.problem import ProblemDetails, problem_of
from store.web.pages import card
from store.web.pages.find import READERS as READERS
from store.web.pages.find import FindPatient
from store.web.pages.page import Goto, Page, Shown, Visit

PEOPLE = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF})
RECORDERS = frozenset({Role.ENTERPRISE, Role.STAFF})
PATIENT = "/patients/{patient_id:str}"
LONGEST = 500
DONE = {
    "do-not-contact": "Do Not Contact was changed.",
    "preferred-phone": "The preferred phone was changed.",
    "sms-consent": "The opt-out was recorded.",
}


class PatientPages:
    """The pages about patients."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.audit, self.find = store, Audit(store.database), FindPatient(store)

    def pages(self) -> Iterable[Page]:
        """All pages. Managers and staff may try to set the toggle: if it is locked, the store refuses with the reason."""
        return (
            *self.find.pages(),
            Page("GET", PATIENT, READERS, self.facesheet),
            Page("POST", f"{PATIENT}/do-not-contact", PEOPLE, self.set_toggle),
            Page("POST", f"{PATIENT}/preferred-phone", RECORDERS, self.phone),
            Page("POST", f"{PATIENT}/sms-consent", RECORDERS, self.opt_out),
        )

    def facesheet(self, visit: Visit) -> Shown:
        """Shows the patient."""
        return self._facesheet(visit)

    def set_toggle(self, visit: Visit) -> Shown | Goto:
        """Sets the toggle. The store decides who may do that; the facesheet shows a refusal."""
        form, patient = visit.form, visit.path["patient_id"]

        def change() -> None:
            reason = _reason(form.get("reason", ""), needed=True)
            version = form.get("version", "")
            based_on = int(version) if version.isascii() and version.isdigit() and len(version) < 19 else None
            self.store.set_do_not_contact(
                visit.enterprise, patient, form.get("value", ""), actor=visit.actor, reason=reason, now=visit.now, if_version=based_on
            )

        return self._done(visit, change, "do-not-contact")

    def phone(self, visit: Visit) -> Shown | Goto:
        """Sets the preferred phone to one of those on file."""
        number, patient = visit.form.get("number", ""), visit.path["patient_id"]
        return self._done(
            visit,
            lambda: self.store.set_preferred_phone(visit.enterprise, patient, number, actor=visit.actor, now=visit.now),
            "preferred-phone",
        )

    def opt_out(self, visit: Visit) -> Shown | Goto:
        """Records an opt-out from texts that the patient requested in person or by phone."""
        form, patient = visit.form, visit.path["patient_id"]

        def change() -> None:
            reason = _reason(form.get("reason", ""), needed=False)
            line = None if form.get("all_lines") else _line(form.get("line", ""))
            self.store.record_sms_opt_out(visit.enterprise, patient, line=line, actor=visit.actor, now=visit.now, reason=reason)

        return self._done(visit, change, "sms-consent")

    def _done(self, visit: Visit, change: Any, what: str) -> Shown | Goto:
        try:
            change()
        except (StoreError, ProblemDetails) as error:
            problem = problem_of(error)
            return self._facesheet(visit, problem.detail, int(problem.status))
        return Goto(f"/patients/{visit.path['patient_id']}?done={what}")

    def _facesheet(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        requested = visit.path["patient_id"]
        try:
            patient = self._found(visit, PatientRef(id=requested), visit.now)
        except PatientUnknown:
            return self.find.form(visit, "Patient not found. Search for the patient below.", 404)
        self.audit.note(visit.enterprise, VIEWED, patient.id, actor=str(visit.actor), now=visit.now, version=patient.version)
        enterprise, role = self.store.enterprises[visit.enterprise], visit.visitor.role
        may_record = role in RECORDERS
        phone = card.row(PREFERRED_PHONE, patient, enterprise)
        values = {
            "title": "Facesheet",
            "patient": patient,
            "switch": card.switch(patient, self.store.toggle(visit.enterprise, patient, role), enterprise),
            "badge": card.badge(patient.contact),
            "method": card.row(PREFERRED_METHOD, patient, enterprise),
            "phone": phone,
            "numbers": card.numbers(patient),
            "phones": card.row(PHONES, patient, enterprise),
            "details": card.details(patient, enterprise),
            "consents": card.consents(patient, enterprise),
            "topics": card.topics(patient, enterprise),
            "record": card.record(patient, enterprise),
            "merged": merged_records(self.store.database, visit.enterprise, patient.id),
            "merged_here": requested != patient.id,
            "sms_consent": card.sms_consent(patient),
            "text_opt_outs": of_texts(patient.opt_outs),
            "channel_opt_outs": channel_opt_outs(patient.contact, patient.opt_outs),
            "on_file": {one.number for one in patient.contact.phones},
            "may_choose_phone": may_record and phone.locked_by is None and bool(patient.contact.phones),
            "may_opt_out": may_record,
            "previews": self._previews(visit, patient),
            "unread": card.unread(patient),
            "events": card.timeline(self.store.history(visit.enterprise, patient.id, card.RECENT), enterprise),
            "recent": card.RECENT,
            "source_name": {one.name: one.display_name or one.name for one in enterprise.sources},
            "refusal": refusal,
            "done": DONE.get(visit.query.get("done", ""), ""),
        }
        return Shown("facesheet.html", values, status)

    def _found(self, visit: Visit, ref: PatientRef, now: datetime | None) -> Patient:
        with noted(self.audit, visit.enterprise, str(visit.actor), visit.now):
            return self.store.find(visit.enterprise, ref, now)

    def _previews(self, visit: Visit, patient: Patient) -> list[card.DecisionPreview]:
        found = self.store.known(visit.enterprise, [PatientRef(id=patient.id)], visit.now)[0]
        policy = self.store.settings.get(visit.enterprise).policy
        asks = [DecisionRequest(message_type=kind, channels=card.CHANNELS) for kind in card.TYPES]
        if not isinstance(found, KnownPatient):
            return [card.preview(ask.message_type, refused(PATIENT_UNKNOWN)) for ask in asks]
        return [card.preview(ask.message_type, decide(ask, found, policy, visit.now)) for ask in asks]


def _reason(text: str, *, needed: bool) -> str:
    if needed and not text:
        raise ProblemDetails(422, "reason_missing", "Enter a reason. It is kept in the patient's history.")
    if len(text) > LONGEST:
        raise ProblemDetails(422, "invalid_request", f"The reason can have at most {LONGEST} characters.")
    return text


def _line(text: str) -> str:
    line = text[:40]
    try:
        check_line(line)
        return line
    except ValueError as error:
        raise ProblemDetails(422, "line_missing", "Enter the line that must stop texting, or select every line.") from error
