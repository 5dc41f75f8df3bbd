"""One enterprise's store, driven the way adapters, senders and people drive it. Every name and number is invented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from store import times
from store.db.database import Database
from store.domain.decision import Decision, KnownPatient, decide
from store.domain.decision_request import DecisionRequest
from store.domain.enterprise import Enterprise, Source
from store.domain.lock import Actor, Role
from store.domain.patient import Patient, PatientRef
from store.domain.policies import Policy
from store.domain.sms_consent import ReplyOutcome
from store.errors import StoreError
from store.patients.apply import Outcome
from store.patients.preferences import Preferences
from store.preference import Identifier, PatientMerge, PatientStatements, Phone, Statement

BEGIN = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
HOSPITAL = "general-hospital"
ADT, FHIR = "adt", "fhir"
LINE, OTHER_LINE = "+12175550190", "+12175550191"
CELL, HOME, WORK = "+12175550101", "+12175550102", "+12175550103"
BY_LINE = Policy(revocation_scope="line")
"""A STOP ends texts from its line only, so that a test can tell one line from the other."""
ENTERPRISE_USER = Actor(Role.ENTERPRISE, "pat")

SYNCED = Enterprise(
    HOSPITAL,
    syncs=True,
    sources=(Source(ADT, "Hospital ADT"), Source(FHIR, "Hospital FHIR")),
    authorities={"urn:oid:2.999.1": "GENHOSP", "https://genhosp.example/mrn": "GENHOSP"},
    policy=BY_LINE,
)
LOCAL = replace(SYNCED, syncs=False, do_not_contact_toggle=True)


def at(seconds: float) -> datetime:
    """A moment of the test's own time."""
    return BEGIN + timedelta(seconds=seconds)


def mr(value: str, kind: str = "MR", authority: str = "GENHOSP") -> Identifier:
    """A medical record number."""
    return Identifier(authority, kind, value)


def cell(number: str = CELL) -> Phone:
    """A number that takes texts."""
    return Phone(number, "cell", number, textable=True)


def says(
    patient: str | tuple[Identifier, ...], seconds: float, said: Mapping[str, Any] | None = None, *, evidence: str = "", **rest: Any
) -> PatientStatements:
    """One payload about a patient, true since ``seconds``; ``None`` as a value is a clear."""
    identifiers = (mr(patient),) if isinstance(patient, str) else patient
    statements = {attribute: Statement(value, f"at/{attribute}") for attribute, value in (said or {}).items()}
    return PatientStatements(identifiers, statements, times.at(at(seconds)), evidence or f"M{seconds}", **rest)


def merges(survivor: str, merged: str, seconds: float = 100) -> PatientMerge:
    """``merged`` and ``survivor`` are one person since ``seconds``."""
    return PatientMerge((mr(survivor),), (mr(merged),), times.at(at(seconds)), f"A40-{seconds}")


class Site:
    """The store of one enterprise (or several), with a clock that is always after every payload unless a test says otherwise."""

    def __init__(self, database: Database, *enterprises: Enterprise) -> None:
        self.database = database
        self.enterprises = {one.name: one for one in enterprises or (SYNCED,)}
        self.enterprise = next(iter(self.enterprises))
        self.store = Preferences(database, self.enterprises)
        self.now = at(10_000)

    def configured(self, enterprise: Enterprise) -> Site:
        """The same database under another configuration."""
        return Site(self.database, enterprise)

    def tick(self) -> datetime:
        """Some time passes."""
        self.now += timedelta(seconds=1)
        return self.now

    def outcomes(self, *items: PatientStatements | PatientMerge, source: str = ADT, enterprise: str | None = None) -> list[Outcome]:
        """Applies one batch."""
        name = enterprise or self.enterprise
        self.now = max([self.now, *(item.effective.latest for item in items)])
        with self.database.write(name) as transaction:
            return self.store.apply_many(transaction, name, source, items, now=self.tick())

    def apply(self, *items: PatientStatements | PatientMerge, source: str = ADT) -> list[str]:
        """Applies one batch; what became of each item."""
        return [one.outcome for one in self.outcomes(*items, source=source)]

    def find(self, value: str, authority: str | None = "GENHOSP", kind: str | None = None) -> Patient:
        """The patient with that record number."""
        return self.store.find(self.enterprise, PatientRef(authority=authority, type=kind, value=value))

    def value(self, patient: str, attribute: str) -> Any:
        """What is in force for one attribute, ``None`` when it is unknown."""
        found = self.find(patient).preferences.get(attribute)
        return found.value if found else None

    def dnc(self, patient: str) -> str:
        """Do Not Contact, as decisions see it; the facesheet must say the same."""
        known = self.known(patient)
        assert known.contact == self.find(patient).contact
        return known.contact.do_not_contact

    def known(self, patient: str) -> KnownPatient:
        """What a decision looks at."""
        found = self.store.known(self.enterprise, [PatientRef(authority="GENHOSP", value=patient)], self.now)[0]
        if isinstance(found, StoreError):
            raise found
        return found

    def decision(
        self, patient: str, kind: str = "broadcast", line: str | None = LINE, channels: tuple[str, ...] = ("sms",), **ask: Any
    ) -> Decision:
        """What a sender is told."""
        return decide(DecisionRequest(message_type=kind, channels=channels, line=line, **ask), self.known(patient), Policy(), self.now)

    def may_text(self, patient: str, line: str | None = LINE) -> bool:
        """Whether a broadcast by text may go out."""
        return self.decision(patient, line=line).channel == "sms"

    def flip(self, patient: str, value: str, actor: Actor = ENTERPRISE_USER, *, now: datetime | None = None, **rest: Any) -> Patient:
        """Somebody flips the Do Not Contact toggle."""
        number = self.find(patient).id
        moment = now or self.tick()
        return self.store.set_do_not_contact(self.enterprise, number, value, actor=actor, reason="asked", now=moment, **rest)

    def text(self, body: str, seconds: float | None = None, *, number: str = CELL, line: str = LINE) -> ReplyOutcome:
        """Somebody texts a keyword to a line."""
        now = self.tick()
        return self.store.record_reply(self.enterprise, line, number, body, now if seconds is None else at(seconds), now)
