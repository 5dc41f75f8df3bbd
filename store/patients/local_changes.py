"""Changes by people here: the Do Not Contact toggle and the preferred phone. The lock is checked inside the write transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store import times
from store.audit.audit_log import SET_DO_NOT_CONTACT, SET_PREFERRED_PHONE, Audit
from store.db.database import Database
from store.domain import documents
from store.domain.enterprise import Enterprise
from store.domain.ids import PatientIds, parsed
from store.domain.lock import Actor, may_set, may_set_do_not_contact
from store.domain.patient import Patient, PatientRef
from store.errors import ValueRefused, VersionConflict
from store.patients.apply import Application
from store.patients.patient_batch import Author
from store.patients.patient_state import PatientState
from store.patients.reader import PatientReader
from store.patients.settings import SettingsStore
from store.preference import DO_NOT_CONTACT, PREFERRED_PHONE, STAFF, PatientStatements, Statement

CHANGED = {DO_NOT_CONTACT: SET_DO_NOT_CONTACT, PREFERRED_PHONE: SET_PREFERRED_PHONE}


class LocalChange:
    """One change by a person, inside one transaction."""

    def __init__(self, database: Database, transaction: Connection, enterprise: Enterprise, ids: PatientIds) -> None:
        self.database, self.transaction, self.enterprise, self.ids = database, transaction, enterprise, ids
        self.reader = PatientReader(database, transaction, enterprise)

    def read(self, patient_id: str, if_version: int | None) -> Patient:
        """The patient. Raises :class:`VersionConflict` if ``if_version`` is given and is not its version."""
        patient = self.reader.patient(PatientRef(id=patient_id))
        if if_version is not None and patient.version != if_version:
            raise VersionConflict(f"the patient changed and is now at version {patient.version}: read it again before changing it")
        return patient

    def do_not_contact(self, patient: Patient, value: str, settings: SettingsStore, *, actor: Actor, reason: str, now: datetime) -> None:
        """Sets the toggle, if this role may (product section 4)."""
        setting_on = settings.within(self.transaction, self.enterprise.name).do_not_contact_toggle
        current = patient.contact.do_not_contact
        if may_set_do_not_contact(self.enterprise, patient.marks, actor, setting_on=setting_on, current=current, value=value):
            self.write(patient, DO_NOT_CONTACT, value, actor=actor, reason=reason, now=now)

    def preferred_phone(self, patient: Patient, number: str, *, actor: Actor, now: datetime) -> None:
        """Chooses one of the patient's phones."""
        same = patient.contact.preferred_phone == number
        if not may_set(PREFERRED_PHONE, self.enterprise, patient.marks, actor, same=same):
            return
        if not any(phone.number == number for phone in patient.contact.phones):
            raise ValueRefused("preferred_phone must be one of the patient's phones, written in E.164")
        self.write(patient, PREFERRED_PHONE, number, actor=actor, reason="", now=now)

    def write(self, patient: Patient, attribute: str, value: Any, *, actor: Actor, reason: str, now: datetime) -> None:
        """Writes one statement of the staff authority, with the person in the history."""
        person = str(actor)
        author = Author(STAFF, now, actor=person, reason=reason)
        work = Application(self.database, self.transaction, self.enterprise, author, self.ids)
        number = parsed(patient.id) or 0
        opened = work.resume([number])[number]
        work.author = author._replace(now=_later_than_known(opened, now))
        item = PatientStatements((), {attribute: Statement(value, "")}, times.at(work.author.now), person)
        work.receive(opened, item, documents.digest((), item.statements))
        work.finish()
        detail = {"value": value, "reason": reason} if attribute == DO_NOT_CONTACT else {}
        Audit(self.database).changed(
            self.transaction,
            self.enterprise.name,
            CHANGED[attribute],
            patient.id,
            actor=person,
            now=now,
            version=opened.version + 1,
            **detail,
        )


def _later_than_known(patient: PatientState, now: datetime) -> datetime:
    """The time of a change made here: later than every former change and everything received, whatever the clocks say."""
    own = patient.asserted.get(STAFF)
    known = [own.confirmed.latest, *(one.effective.latest for one in own.assertions.values())] if own is not None else []
    return max([now, *patient.last_received.values(), *(one + times.STEP for one in known)])
