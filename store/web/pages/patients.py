"""Staff's pages about one patient: view the facesheet, and change values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from store.audit.audit_log import ASKED_DECISION, VIEWED, Audit
from store.audit.receipts import detail
from store.domain import documents
from store.domain.lock import Role
from store.domain.patient import Patient, PatientRef
from store.domain.reasons import PATIENT_UNKNOWN
from store.errors import PatientUnknown, StoreError
from store.patients.preferences import Preferences
from store.web.api.decisions import Decisions
from store.web.api.wire import check_line
from store.web.http.look_ups import noted
from store.web.http.problem import ProblemDetails, problem_of
from store.web.pages.ask import asked
from store.web.pages.facesheet import RECORDERS, Facesheet, Question
from store.web.pages.find import READERS as READERS
from store.web.pages.find import FindPatient
from store.web.pages.page import Goto, Page, Shown, Visit
from store.web.pages.told import Told, told

PEOPLE = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF})
PATIENT = "/patients/{patient_id:str}"
LONGEST = 500
NOTHING_ASKED = Question()
DONE = {
    "do-not-contact": "Do Not Contact was changed.",
    "preferred-phone": "The preferred phone was changed.",
    "sms-consent": "The opt-out was recorded.",
}


class PatientPages:
    """The pages about patients."""

    def __init__(self, store: Preferences, decisions: Decisions) -> None:
        self.store, self.decisions, self.audit = store, decisions, Audit(store.database)
        self.sheet, self.find = Facesheet(store), FindPatient(store)

    def pages(self) -> Iterable[Page]:
        """All pages. Managers and staff may try to set the toggle: if it is locked, the store refuses with the reason."""
        return (
            *self.find.pages(),
            Page("GET", PATIENT, READERS, self.facesheet),
            Page("POST", f"{PATIENT}/decision", READERS, self.ask),
            Page("POST", f"{PATIENT}/do-not-contact", PEOPLE, self.set_toggle),
            Page("POST", f"{PATIENT}/preferred-phone", RECORDERS, self.phone),
            Page("POST", f"{PATIENT}/sms-consent", RECORDERS, self.opt_out),
        )

    def facesheet(self, visit: Visit) -> Shown:
        """Shows the patient."""
        return self._facesheet(visit)

    def ask(self, visit: Visit) -> Shown:
        """Shows what a sender would be told, by the code of ``POST /v1/decisions``. It leaves a line in the audit log, and no receipt."""
        try:
            return self._facesheet(visit, question=Question(visit.form, self._told(visit)))
        except (StoreError, ProblemDetails) as error:
            problem = problem_of(error)
            return self._facesheet(visit, status=int(problem.status), question=Question(visit.form, invalid=problem.detail))

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

    def _facesheet(self, visit: Visit, refusal: str = "", status: int = 200, question: Question = NOTHING_ASKED) -> Shown:
        try:
            patient = self._found(visit, PatientRef(id=visit.path["patient_id"]), visit.now)
        except PatientUnknown:
            return self.find.form(visit, "Patient not found. Search for the patient below.", 404)
        self.audit.note(visit.enterprise, VIEWED, patient.id, actor=str(visit.actor), now=visit.now, version=patient.version)
        values = {**self.sheet.values(visit, patient, question), "refusal": refusal, "done": DONE.get(visit.query.get("done", ""), "")}
        return Shown("facesheet.html", values, status)

    def _told(self, visit: Visit) -> Told | None:
        """The answer to the form; ``None`` if there is no such patient."""
        patient, enterprise = visit.path["patient_id"], self.store.enterprises[visit.enterprise]
        request = asked(visit.form, patient, ZoneInfo(enterprise.time_zone), self.store.numbering(visit.enterprise))
        request = self.decisions.checked(visit.enterprise, request)
        decision = self.decisions.told(visit.enterprise, request)
        if PATIENT_UNKNOWN in decision.reasons:
            return None
        noted = {"decision": decision.id, "answer": decision.decision, "message_type": request.message_type, "channels": request.channels}
        self.audit.note(visit.enterprise, ASKED_DECISION, patient, actor=str(visit.actor), now=visit.now, **noted)
        return told(documents.read(detail(request, decision)), enterprise)

    def _found(self, visit: Visit, ref: PatientRef, now: datetime | None) -> Patient:
        with noted(self.audit, visit.enterprise, str(visit.actor), visit.now):
            return self.store.find(visit.enterprise, ref, now)


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
