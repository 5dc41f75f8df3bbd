"""A program that dies at a chosen commit, and its work: messages from an EMR, runs, decisions by people."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection

from adapters.base import Batch, Explanation, Fetch, Finding, Item, Payload, Unmappable
from store import times
from store.audit import checkpoints, retention
from store.audit.checkpoints import HISTORY, Attesting, read
from store.audit.hash_chain import Chain, ChainLine
from store.audit.retention import ChainRetention
from store.audit.verify import verify
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.errors import MergeRefused, NothingHeld, PatientUnknown, ValueRefused
from store.holds.retire_source import Release
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.preference import Codes, PatientMerge, Problem, Statement
from store.runs import rejections as rejections_module
from store.runs.rejections import RejectionStore
from store.runs.runs import Journal
from sync.config.settings import SafeguardRule
from sync.engine import Engine
from sync.metrics import Metrics
from sync.replay import replay
from sync.run import Lane
from tests.factories import NOW, sealing
from tests.fakes import FakeClock
from tests.store.site import CELL, LINE, at, cell, mr, says

DIED = 9
NAMES = ("a", "b", "c", "d")
BOTH_KEYS = sealing("k2", "k1")
Point = tuple[str, int]
"""``before`` or ``after`` which commit, counted from one."""


class CrashingDatabase(Database):
    """Ends the process at one commit, like a power cut; calls ``seen`` at every other."""

    point: Point | None = None
    seen: Callable[[], None] | None = None
    commits = 0

    @contextmanager
    def write(self, enterprise: str, *, unbounded: bool = False) -> Iterator[Connection]:
        with super().write(enterprise, unbounded=unbounded) as transaction:
            yield transaction
            if self.point == ("before", self.commits + 1):
                os._exit(DIED)
        self.commits += 1
        if self.point == ("after", self.commits):
            os._exit(DIED)
        if self.seen is not None:
            self.seen()


class Letters:
    """Maps the messages of ``statement`` and ``merge``. A ``?`` is a code that only the fixed mapping knows."""

    def __init__(self, *, fixed: bool) -> None:
        self.fixed = fixed

    def read(self, payload: Payload) -> list[Item]:
        one = json.loads(payload.body)
        if "joined" in one:
            survivor, merged = one["joined"]
            return [PatientMerge((mr(survivor),), (mr(merged),), times.at(at(one["at"])), one["id"])]
        if "?" in one["values"].values() and not self.fixed:
            return [Unmappable("code_unknown", "add the code to the mapping", payload.locator)]
        values = {name: "yes" if value == "?" else value for name, value in one["values"].items()}
        return [says(one["of"], one["at"], {**values, "phones": (cell(CELL),)}, evidence=one["id"])]

    mapping = ""

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        return None

    def explain(self, payload: Payload) -> Explanation:
        return Explanation(self.read(payload))


def statement(of: str, seconds: int, do_not_contact: str, **more: str) -> Payload:
    """A message about one patient."""
    values = {"do_not_contact": do_not_contact, **{name.replace("_sms", ".sms"): value for name, value in more.items()}}
    return _payload({"of": of, "at": seconds, "values": values, "id": f"{of}-{seconds}"})


def merge(survivor: str, merged: str, seconds: int) -> Payload:
    """A merge message."""
    return _payload({"joined": [survivor, merged], "at": seconds, "id": f"A40-{seconds}"})


def _payload(one: dict[str, Any]) -> Payload:
    return Payload(json.dumps(one).encode(), f"test:{one['id']}", NOW)


@dataclass
class Pages:
    """An EMR that is read page by page. Its cursor is the number of pages read."""

    pages: Sequence[Sequence[Payload]]
    mapper: Letters = field(default_factory=lambda: Letters(fixed=False))

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        for place in range(int(request.cursor or 0), len(self.pages)):
            page = self.pages[place]
            items = [item for payload in page for item in self.mapper.read(payload)]
            yield Batch(items, str(place + 1), [payload.body for payload in page])

    def check(self) -> Iterator[Finding]:
        yield Finding("reach", True, "always")

    def payloads(self, path: object) -> Iterator[Payload]:
        return iter(())


class Program:
    """One process of the service over one database, for its own clinic."""

    def __init__(self, url: str, clinic: str, point: Point | None = None, *, floor: int = 50) -> None:
        self.clinic, self.lane = clinic, Lane(f"{clinic}-emr", clinic)
        self.database = CrashingDatabase.open(url)
        self.rules = Enterprise(clinic, syncs=True, sources=(Source(self.lane.source, "EMR"),))
        self.store = Preferences(self.database, {clinic: self.rules})
        self.journal = Journal(self.database, sealing())
        safeguards = {clinic: SafeguardRule(floor=floor, percent=0)}
        self.engine = Engine(self.database, self.store, self.journal, FakeClock(at(100)), Metrics(), batch_size=2, safeguards=safeguards)
        self.database.point = point

    def ingest(self, *groups: Sequence[Payload]) -> None:
        """A listener: each group is one transaction. Unacknowledged messages are resent."""
        for group in groups:
            self.engine.ingest(self.lane, Letters(fixed=False), group)

    def read(self, *pages: Sequence[Payload]) -> None:
        """Runs the source from its cursor."""
        self.engine.run(self.lane, Pages(pages), Fetch(), "incremental")

    def replay(self) -> None:
        """Replays every open rejection with the fixed mapping."""
        for one in sorted(self.journal.rejections(self.clinic), key=lambda one: one.locator):
            replay(self.engine, self.lane, Letters(fixed=True), self.journal.rejection(one.id))

    def approve(self) -> None:
        """A person approves the held changes."""
        for run in self.journal.runs(self.clinic):
            with suppress(NothingHeld):
                HeldReview(self.store, self.journal).approve(run.id, Actor(Role.OPERATOR, "kim"), self.engine.clock())

    def unmerge(self, name: str) -> None:
        """A person unmerges two records. Ignores the refusal if that was done before."""
        ref, actor = PatientRef(authority="GENHOSP", value=name), Actor(Role.OPERATOR, "kim")
        with suppress(MergeRefused):
            self.store.unmerge(self.clinic, ref, actor=actor, reason="two people", now=self.engine.clock())

    def release(self) -> None:
        """A person retires the source. Does nothing if that was done before."""
        with suppress(ValueRefused):
            Release(self.store, self.journal).release(self.lane.source, Actor(Role.OPERATOR, "kim"), self.engine.clock())

    def undo_release(self) -> None:
        """A person undoes the retirement. Does nothing if that was done before."""
        with suppress(ValueRefused):
            Release(self.store, self.journal).undo(self.lane.source, Actor(Role.OPERATOR, "kim"), self.engine.clock())

    def reply(self, body: str, seconds: int) -> None:
        """A patient texts."""
        self.store.record_reply(self.clinic, LINE, CELL, body, at(seconds), at(1_000))

    def change_keys(self) -> None:
        """A person rotates the keys: every payload is re-encrypted, one in each transaction."""
        with patch.object(rejections_module, "AT_ONCE", 1):
            RejectionStore(self.database, BOTH_KEYS).reseal()

    def view_patients(self, days: int) -> None:
        """A person viewed patients, once on each of that many days."""
        lines = [ChainLine(NOW + timedelta(days=day), "staff:sam", "viewed_patient", "", "{}") for day in range(days)]
        Chain(self.database, "receipts").add(self.clinic, lines)

    def shorten(self) -> None:
        """Removes audit lines older than the fifth of these days, two in each transaction."""
        with patch.object(retention, "AT_ONCE", 2):
            ChainRetention(self.database, "receipts").run(NOW + timedelta(days=5), NOW + timedelta(days=100))

    def attest(self) -> None:
        """The service attests the history, two rows per line."""
        with patch.object(checkpoints, "AT_ONCE", 2):
            Attesting(self.database, HISTORY).run([self.clinic], NOW)

    def snapshot(self) -> dict[str, Any]:
        """Everything that must be as without a crash: values in force, history line by line, rejections, cursor, held changes."""
        with self.database.read() as connection:
            rows = self.database.select(connection, "SELECT count(*) FROM held_statements WHERE enterprise = ?", [self.clinic])
            merges = self.database.select(connection, "SELECT count(*) FROM merges WHERE enterprise = ?", [self.clinic])
        rejections = sorted((one.reason, one.status) for one in self.journal.rejections(self.clinic, status=None))
        patients = {name: self._patient(name) for name in NAMES}
        verdicts = verify(self.database, self.clinic)
        return {
            "payloads": self._payloads(),
            "chains": {one.head.chain: (one.broken_at, one.cut.upto if one.cut else 0) for one in verdicts},
            "attested": sum(read(one).rows for one in Chain(self.database, HISTORY.chain).newest(self.clinic)),
            "held": rows[0][0],
            "merges": merges[0][0],
            "rejections": rejections,
            "cursor": self.journal.cursor(self.lane.source),
            **patients,
        }

    def _payloads(self) -> tuple[list[str], list[str]]:
        """The keys of the stored payloads, sorted because their order is random. Checks that each payload can be decrypted."""
        with self.database.read() as connection:
            rows = self.database.select(connection, "SELECT id, key_id FROM rejections WHERE enterprise = ?", [self.clinic])
        kept = RejectionStore(self.database, BOTH_KEYS)
        opened = [hashlib.sha256(kept.rejection(number).payload).hexdigest() for number, _ in rows]
        return sorted(key for _, key in rows), sorted(opened)

    def _patient(self, name: str) -> Any:
        try:
            patient = self.store.find(self.clinic, PatientRef(authority="GENHOSP", value=name))
        except PatientUnknown:
            return None
        in_force = {attribute: one.value for attribute, one in sorted(patient.preferences.items())}
        history = [
            (one.version, one.attribute, self._plain(one.before), self._plain(one.after), self._plain(one.evidence_id))
            for one in self.store.history(self.clinic, patient.id)
        ]
        return patient.version, [one.value for one in patient.identifiers], in_force, sorted(history, key=str), patient.opt_outs

    def _plain(self, value: Any) -> Any:
        """Removes what differs between clinics: sources, ids of records and of releases."""
        text = str(value)
        return "an id" if text.startswith(("pt_", "rel_")) else "the source" if text == self.lane.source else value

    def close(self) -> None:
        self.database.close()


Work = Callable[[Program], None]


def run_until_death(url: str, clinic: str, point: Point, work: Work, floor: int) -> int | None:
    """Does the work in its own process, which dies at the point; gives its exit code."""
    process = multiprocessing.get_context("fork").Process(target=_live, args=(url, clinic, point, work, floor))
    process.start()
    process.join(60)
    return process.exitcode


def _live(url: str, clinic: str, point: Point, work: Work, floor: int) -> None:
    program = Program(url, clinic, point, floor=floor)
    work(program)
    program.close()
