"""A clinic that a random history happens to: its service on a real database, its post, and the model of the evidence beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import event

from adapters.base import Answer, Payload
from store.ask import Known
from store.enterprise import Enterprise, Source
from store.errors import PatientUnknown, StoreError
from store.journal import Journal
from store.patient import Patient, PatientRef
from store.preference import PATIENT, PatientMerge, PatientStatements
from store.preferences import Preferences
from sync.engine import Engine
from sync.lane import Lane
from sync.metrics import Metrics
from tests.factories import sealing
from tests.properties.evidence import Evidence, Word
from tests.properties.post import LINES, NAMES, SOURCES, Died, Letter, Message, Mortal, Post, Reply
from tests.store.site import at, says

STARTED = 25
unique = itertools.count()


class Clinic:
    """What rules do to both sides. ``owed``: whose opt-out of which number a merge displaced, by group of records."""

    url = ""

    def founded(self) -> None:
        """Nothing has happened yet; the names of its enterprise and sources are nobody else's."""
        number = next(unique)
        self.name, self.sources = f"clinic-{number}", {name: f"{name}-{number}" for name in SOURCES}
        self.seconds, self.post = STARTED, Post()
        self.evidence = Evidence(SOURCES, syncs=True, order=SOURCES)
        self.heard: set[int] = set()
        self.owed: dict[str, set[tuple[str, str]]] = {}

    def configure(self, syncs: bool, order: list[str]) -> None:
        placed = tuple(Source(self.sources[name], name) for name in order)
        self.enterprise = Enterprise(self.name, syncs=syncs, do_not_contact_toggle=not syncs, sources=placed)
        self.evidence.syncs, self.evidence.order = syncs, (*order, *sorted(set(SOURCES) - set(order)))

    def open(self) -> None:
        self.database = Mortal.open(self.url)
        if self.database.is_sqlite:
            event.listen(self.database.engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
        self.store = Preferences(self.database, {self.name: self.enterprise})
        self.engine = Engine(self.database, self.store, Journal(self.database, sealing()), self.now, Metrics())

    def starts_again(self) -> None:
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

    def next_evidence(self) -> str:
        return f"{self.name}-{len(self.post.letters)}"

    def statements(self, message: Message) -> PatientStatements:
        name, when, stated, restricted = message
        unlike_any_other = when + len(self.post.letters) / 1_000
        return says(name, unlike_any_other, stated, evidence=self.next_evidence(), restricted=restricted)

    def deliver(self, group: list[Letter], death: str) -> None:
        payloads = [Payload(f"{self.name}:{one.number}".encode(), f"test:{one.number}", at(0)) for one in group]
        with self.telling(group, death) as answers:
            answers += self.engine.ingest(self.lane(group[0].source), self.post, payloads)

    @contextmanager
    def telling(self, group: list[Letter], death: str) -> Iterator[list[Answer]]:
        """What is committed meanwhile is evidence from then on. A program that died is started again."""
        before = self.owing(group[0].item)
        answers: list[Answer] = []
        self.database.death = death
        try:
            yield answers
        except Died:
            self.starts_again()
        if death == "before the commit":
            return
        for letter in group:
            if letter.number not in self.post.damaged and letter.number not in self.heard:
                self.tell(letter)
        if isinstance(group[0].item, PatientMerge) and group[0].number in self.heard:
            self.still_owing(group[0].item, before)

    def tell(self, letter: Letter) -> None:
        item = letter.item
        if isinstance(item, PatientStatements):
            self.heard.add(letter.number)
            said = {name: one.value for name, one in item.statements.items() if one.value or not (item.restricted and name == "phones")}
            moment = ((item.effective - at(0)).total_seconds(), item.version)
            self.evidence.said(letter.source, item.identifiers[0].value, moment, said)
        else:
            survivor, merged = item.survivor[0].value, item.merged[0].value
            if self.evidence.group(survivor) != self.evidence.group(merged):
                self.heard.add(letter.number)
                self.evidence.joined(survivor, merged, (item.effective - at(0)).total_seconds())

    def reply(self, reply: Reply) -> None:
        """A patient texts. START pays what a merge owes to those who have the number."""
        number, line, body, when = reply
        now = self.now()
        self.store.record_reply(self.name, line, number, body, at(when), now)
        self.evidence.words.append(Word(PATIENT, number, None if body == "STOPALL" else line, body != "START", min(when, self.seconds)))
        for name in NAMES if body == "START" else ():
            if number in self.on_file(name):
                group = self.evidence.group(name)
                self.owed[group] = {one for one in self.owed.get(group, set()) if one[0] != PATIENT}

    def owing(self, item: PatientStatements | PatientMerge) -> set[tuple[str, str]]:
        """Whose opt-out of which number stands for two records that are about to become one, or was owed to one before."""
        if isinstance(item, PatientStatements):
            return set()
        owed: set[tuple[str, str]] = set()
        for name in (item.survivor[0].value, item.merged[0].value):
            owed |= self.owed.get(self.evidence.group(name), set())
            for number in self.on_file(name):
                opted_out = (word for word in self.evidence.words if word.number == number)
                owed |= {
                    (one.authority, number)
                    for one in opted_out
                    if any(self.evidence.stopped_by(one.authority, number, line) for line in LINES)
                }
        return owed

    def still_owing(self, item: PatientMerge, before: set[tuple[str, str]]) -> None:
        name = item.survivor[0].value
        self.owed[self.evidence.group(name)] = {one for one in before if one[1] not in self.on_file(name)}

    def on_file(self, name: str) -> set[str]:
        patient = self.find(name)
        return {phone.number for phone in patient.contact.phones} if patient else set()

    def find(self, name: str) -> Patient | None:
        try:
            return self.store.find(self.name, PatientRef(authority="GENHOSP", value=name))
        except PatientUnknown:
            return None

    def known(self, name: str) -> Known:
        known = self.store.known(self.name, [PatientRef(authority="GENHOSP", value=name)], at(self.seconds))[0]
        assert not isinstance(known, StoreError)
        return known

    def check_feed(self) -> None:
        """Every version of every patient is in the feed once, in order; the last is the one that stands."""
        feed: dict[str, list[int]] = {}
        for change in self.store.changes(self.name, 0, 100_000):
            feed.setdefault(change.patient_id, []).append(change.version)
        for versions in feed.values():
            assert sorted(set(versions)) == list(range(1, len(set(versions)) + 1))
            assert versions == sorted(versions)
        for name in NAMES:
            patient = self.find(name)
            assert patient is None or feed[patient.id][-1] == patient.version
