"""A clinic that plays a random history: its service on a real database, its messages, and the model of the evidence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from adapters.base import IngestResult, Payload
from store.domain import documents
from store.domain.contactability import permitting_changes
from store.domain.decision_request import KnownPatient
from store.domain.enterprise import Enterprise, Source
from store.domain.ids import parsed, shown
from store.domain.patient import Patient, PatientRef
from store.errors import PatientUnknown, StoreError
from store.holds.retire_source import Release
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.preference import PATIENT, Identifier, PatientMerge, PatientStatements, Problem
from store.runs.runs import Journal
from store.times import Time
from sync.config.settings import SafeguardRule
from sync.engine import Engine, Lane
from sync.metrics import Metrics
from tests.factories import sealing
from tests.properties.consent_events import ConsentEvent
from tests.properties.evidence import Evidence
from tests.properties.history import OPT_OUTS, UNREADABLE, When
from tests.properties.owing import Owing
from tests.properties.post import LINES, NAMES, SOURCES, CrashingDatabase, Died, Letter, Message, Post, Reply
from tests.store.site import BY_LINE, at, mr, says

STARTED = 5_000
NARROW = 5
"""Seconds. Fresh times are at most this wide, so that they end before receipt."""
SHARED = (Identifier("FAMILY", "PN", "7"), Identifier("NATION", "NI", "0000000000"))
"""Identifiers that identify no single patient: one of a whole family, and a placeholder. They join no records."""
HELD = "SELECT evidence_id, attribute, value FROM held_statements WHERE enterprise = ? AND state = 'held'"
PASSED = "SELECT patient_id FROM loosened WHERE source = ?"
LISTED = "SELECT number FROM patient_phones WHERE patient_id = ?"
HOLDS_ALL = SafeguardRule(floor=0, percent=0.0)
unique = itertools.count()
Pending = tuple[str, str]
"""A statement that the safeguard holds: the evidence id of its letter, and its attribute."""


class Clinic:
    """Plays every event on the store and on the model. ``pending``: every change that the safeguard held, with its message.

    ``rejected``: (source, record, attribute) of each rejected change, until the source states another value.
    """

    url = ""

    def reset(self) -> None:
        """Starts an empty clinic with unique names of its enterprise and sources."""
        number = next(unique)
        self.name, self.sources = f"clinic-{number}", {name: f"{name}-{number}" for name in SOURCES}
        self.seconds, self.post = STARTED, Post()
        self.evidence = Evidence(SOURCES, syncs=True, order=SOURCES)
        self.owing = Owing(NAMES, LINES, self.evidence.members, self.listed)
        self.received: set[int] = set()
        self.pending: dict[Pending, Letter] = {}
        self.rejected: set[tuple[str, str, str]] = set()
        self.safeguard = SafeguardRule()

    def configure(self, syncs: bool, order: list[str]) -> None:
        placed = tuple(Source(self.sources[source], source) for source in order)
        self.enterprise = Enterprise(self.name, syncs=syncs, do_not_contact_toggle=not syncs, sources=placed, policy=BY_LINE)
        self.evidence.syncs, self.evidence.order = syncs, (*order, *sorted(set(SOURCES) - set(order)))

    def open(self) -> None:
        self.database = CrashingDatabase.open(self.url)
        self.store = Preferences(self.database, {self.name: self.enterprise})
        self.journal = Journal(self.database, sealing())
        self.engine = Engine(self.database, self.store, self.journal, self.now, Metrics(), safeguards={self.name: self.safeguard})
        self.verdicts, self.releases = HeldReview(self.store, self.journal, chunk=1), Release(self.store, self.journal)

    def restart(self) -> None:
        self.database.close()
        self.open()

    def now(self) -> datetime:
        self.seconds += 1
        return at(self.seconds)

    def write(self, source: str, item: PatientStatements | PatientMerge) -> Letter:
        letter = Letter(len(self.post.letters), source, item)
        self.post.letters.append(letter)
        return letter

    def lane(self, source: str) -> Lane:
        return Lane(self.sources[source], self.name)

    def moment(self, when: int) -> float:
        """Half of the merges became effective at most two minutes ago, so perhaps later than actions of people here."""
        return when + (self.seconds - 131 if when % 2 else 0)

    def next_evidence(self) -> str:
        return f"{self.name}-{len(self.post.letters)}"

    def statements(self, message: Message) -> PatientStatements:
        name, when, stated, restricted, is_fresh, width, unread = message
        stated = {attribute: value for attribute, value in stated.items() if attribute != unread}
        identifiers = (mr(name), *SHARED[: when % 3])
        unlike_any_other = when + len(self.post.letters) / 1_000 + (self.seconds - 130 if is_fresh else 0)
        version = 0 if width or not when % 4 else 1
        item = says(identifiers, unlike_any_other, stated, evidence=self.next_evidence(), restricted=restricted, version=version)
        latest = item.effective.earliest + timedelta(seconds=min(width, NARROW) if is_fresh else width)
        problems = (Problem("code_unmapped", "at/it", "", unread),) if unread else ()
        return replace(item, effective=Time(item.effective.earliest, latest), problems=problems)

    def deliver(self, group: list[Letter], death: str) -> None:
        payloads = [Payload(f"{self.name}:{one.number}".encode(), f"test:{one.number}", at(0)) for one in group]
        with self.recording(group, death) as answers:
            answers += self.engine.ingest(self.lane(group[0].source), self.post, payloads)

    @contextmanager
    def crashing(self, death: str) -> Iterator[None]:
        """The program may die at its next commit, and is restarted."""
        self.database.death = death
        try:
            yield
        except Died:
            self.restart()
        finally:
            self.database.death = ""

    @contextmanager
    def recording(self, group: list[Letter], death: str) -> Iterator[list[IngestResult]]:
        """Adds what the block commits to the evidence, except held changes. Checks that the safeguard permits nothing that it must hold."""
        before = {name: patient for name in NAMES if (patient := self.find(name)) is not None}
        merge = group[0].item if isinstance(group[0].item, PatientMerge) else None
        owed = self.owing.before_merge(merge.survivor[0].value, merge.merged[0].value) if merge is not None else None
        merges = len(self.evidence.all_merges)
        answers: list[IngestResult] = []
        with self.crashing(death):
            yield answers
        if merge is None:
            self.check_the_safeguard(group, before)
        if death == "before the commit":
            return
        held = self.held()
        for letter in group:
            if letter.number not in self.post.damaged and letter.number not in self.received:
                self.record(letter, held)
        self.owing.update_numbers()
        if owed is not None and len(self.evidence.all_merges) > merges:
            self.owing.add_merge(owed)

    def record(self, letter: Letter, held: set[Pending]) -> None:
        item = letter.item
        if isinstance(item, PatientMerge):
            survivor, merged = item.survivor[0].value, item.merged[0].value
            if self.evidence.group(survivor) != self.evidence.group(merged):
                self.received.add(letter.number)
                self.evidence.add_merge(survivor, merged, (item.effective.latest - at(0)).total_seconds())
            return
        self.received.add(letter.number)
        name = item.identifiers[0].value
        waiting = {attribute for attribute in item.statements if (item.evidence_id, attribute) in held}
        self.pending |= {(item.evidence_id, attribute): letter for attribute in waiting}
        self.evidence.held |= set(self.evidence.members(name)) if waiting else set()
        self.rejected -= {(letter.source, name, attribute) for attribute in attributes_of(letter, name) if attribute not in waiting}
        self.record_statement(letter, [attribute for attribute in item.statements if attribute not in waiting], item.problems)

    def record_statement(self, letter: Letter, attributes: list[str], problems: Sequence[Problem] = ()) -> None:
        item = letter.item
        assert isinstance(item, PatientStatements)
        stated = {one: item.statements[one].value for one in attributes}
        stated = {one: value for one, value in stated.items() if value or not item.restricted}  # a restricted record withdraws nothing
        stated |= {f"{UNREADABLE}{one}": None for one in stated}
        stated |= {f"{UNREADABLE}{problem.attribute}": True for problem in problems}
        moment = When(*((end - at(0)).total_seconds() for end in (item.effective.earliest, item.effective.latest)), item.version)
        self.evidence.add_statement(letter.source, item.identifiers[0].value, moment, stated)

    def held(self) -> set[Pending]:
        """The held changes. Checks that no opt-out is held."""
        with self.database.read() as connection:
            rows = self.database.select(connection, HELD, [self.name])
        for _, attribute, value in rows:
            assert attribute not in OPT_OUTS or documents.read(value) != OPT_OUTS[attribute], f"an opt-out of {attribute} is held"
        return {(evidence_id, attribute) for evidence_id, attribute, _ in rows}

    def check_the_safeguard(self, group: list[Letter], before: dict[str, Patient]) -> None:
        """Checks that limit 0 permits no patient beyond this hour's count, and that no rejected change is applied."""
        passed = {shown(number) for (number,) in self.select(PASSED, self.sources[group[0].source])}
        for name, patient in before.items():
            after = self.find(name)
            assert after is not None
            names = OPT_OUTS if self.safeguard == HOLDS_ALL and patient.id not in passed else self.rejected_again(group, name)
            assert not permitting_changes(patient.preferences, after.preferences, names), f"the safeguard permitted contact with {name}"

    def rejected_again(self, group: list[Letter], name: str) -> list[str]:
        """The attributes of an unmerged record that one message of the group repeats after a person rejected the change."""
        if self.evidence.members(name) != [name]:
            return []
        stated = [(one.source, attribute) for one in group for attribute in attributes_of(one, name)]
        return [
            attribute
            for source, attribute in stated
            if (source, name, attribute) in self.rejected and stated.count((source, attribute)) == 1
        ]

    def reject(self, one: Pending) -> None:
        letter = self.pending[one]
        assert isinstance(letter.item, PatientStatements)
        self.rejected.add((letter.source, letter.item.identifiers[0].value, one[1]))

    def reply(self, reply: Reply) -> None:
        """Records a text reply in the store and in the model."""
        number, line, body, when = reply
        self.store.record_reply(self.name, line, number, body, at(when), self.now())
        event = ConsentEvent(PATIENT, number, None if body == "STOPALL" else line, body != "START", min(when, self.seconds))
        self.owing.add_reply(event)
        self.evidence.consent_events.append(event)

    def forget(self, source: str) -> None:
        """Statements of a source without effect are not stored, so a repeated message counts as new."""
        stated = {one.number for one in self.post.letters if one.source == source and not isinstance(one.item, PatientMerge)}
        self.received -= stated

    def listed(self, name: str) -> set[str]:
        """The numbers that any source lists for the patient."""
        patient = self.find(name)
        return {number for (number,) in self.select(LISTED, parsed(patient.id))} if patient else set()

    def find(self, name: str) -> Patient | None:
        try:
            return self.store.find(self.name, PatientRef(authority="GENHOSP", value=name))
        except PatientUnknown:
            return None

    def known(self, name: str) -> KnownPatient:
        known = self.store.known(self.name, [PatientRef(authority="GENHOSP", value=name)], at(self.seconds))[0]
        assert not isinstance(known, StoreError)
        return known

    def select(self, sql: str, *parameters: Any) -> list[Any]:
        with self.database.read() as connection:
            return self.database.select(connection, sql, parameters)

    def check_feed(self) -> None:
        """Every version of every patient is in the feed once, in order; the last is the current one."""
        feed: dict[str, list[int]] = {}
        for change in self.store.changes(self.name, 0, 100_000):
            feed.setdefault(change.patient_id, []).append(change.version)
        for versions in feed.values():
            assert sorted(set(versions)) == list(range(1, len(set(versions)) + 1))
            assert versions == sorted(versions)
        for name in NAMES:
            patient = self.find(name)
            assert patient is None or feed[patient.id][-1] == patient.version


def attributes_of(letter: Letter, name: str) -> list[str]:
    """The attributes of a record that a message states."""
    item = letter.item
    if isinstance(item, PatientMerge) or item.identifiers[0].value != name:
        return []
    return list(item.statements)
