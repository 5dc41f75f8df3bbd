"""The processes that serve: each says every few seconds in which roles it lives and which sources it cannot take messages of.

So any of them tells of all: what a listener on another machine cannot do, and which process is gone. One that ends cleanly takes its
lines with it. One that was killed stays as silent until another process in its place has started.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import Struct

from store.db.database import Database
from store.db.tables_operations import ProcessRow
from store.domain.documents import instant
from store.runs.intake_state import IntakeState

EVERY = 5.0
"""Seconds between two signs of life."""
SILENT = timedelta(seconds=20)
"""Without a sign for so long a process counts as gone. A busy database may delay one by ten seconds (``store.db.limits``)."""
FORGOTTEN = timedelta(days=7)
COLUMNS = ("process", "role", "source", "enterprise", "started", "steady", "seen", "failing", "messages", "reason")
KEY = ("process", "role", "source")
READ = f"SELECT {', '.join(COLUMNS)} FROM processes ORDER BY process, role, source"


class Place(NamedTuple):
    """A role of a process; of a listener also its source and whose that is."""

    role: str
    source: str = ""
    enterprise: str = ""


class Seen(NamedTuple):
    """A place of one process, and what it cannot do (since when, how often, why).

    ``started``, ``seen``: its first and last sign of life; ``steady``: since when the signs came without a gap.
    """

    process: str
    place: Place
    started: datetime
    steady: datetime
    seen: datetime
    failing: datetime | None = None
    messages: int = 0
    reason: str = ""

    def intake(self) -> IntakeState | None:
        """As readiness tells it; ``None`` where all is well."""
        if self.failing is None:
            return None
        return IntakeState(self.place.enterprise, self.place.source, self.failing, self.messages, self.reason)


class ProcessState(Struct, frozen=True):
    """A process that is gone, by its role (of a listener with its source): when it was seen last."""

    enterprise: str
    role: str
    source: str
    last_seen: datetime


def is_silent(one: Seen, now: datetime) -> bool:
    """Whether it counts as gone."""
    return now - one.seen > SILENT


def gone(found: Sequence[Seen], now: datetime) -> list[Seen]:
    """The silent ones in whose place no other has started since.

    Nobody is missed while the database was away a moment ago and nobody could give a sign.
    """
    if not any(not is_silent(one, now) and now - one.steady >= SILENT for one in found):
        return []
    left = set(replaced(found, now))
    return [one for one in found if is_silent(one, now) and one not in left]


def replaced(found: Sequence[Seen], now: datetime) -> list[Seen]:
    """The silent ones that nobody misses any more: another has started in their place, or it was long ago."""
    newest: dict[Place, datetime] = {}
    for one in found:
        if not is_silent(one, now):
            newest[one.place] = max(one.started, newest.get(one.place, one.started))
    silent = [one for one in found if is_silent(one, now)]
    return [one for one in silent if now - one.seen > FORGOTTEN or (one.place in newest and newest[one.place] >= one.seen)]


def joined(intakes: Iterable[IntakeState]) -> tuple[IntakeState, ...]:
    """One line for each source, of all processes that take its messages: since the first failure, with all messages."""
    found: dict[str, IntakeState] = {}
    for one in intakes:
        other = found.get(one.source, one)
        messages = one.messages + (other.messages if other is not one else 0)
        first = min(one, other, key=lambda state: state.since)
        found[one.source] = IntakeState(first.enterprise, first.source, first.since, messages, first.reason)
    return tuple(found[source] for source in sorted(found))


class Standing(NamedTuple):
    """How all processes are, for metrics: how many are alive and gone, by role, and which sources fail."""

    by_state: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    failing: tuple[IntakeState, ...] = ()


NOBODY = Standing()


def standing(found: Sequence[Seen], now: datetime) -> Standing:
    """Of everything that is known."""
    alive = [one for one in found if not is_silent(one, now)]
    by_state = {state: Counter(one.place.role for one in some) for state, some in (("alive", alive), ("gone", gone(found, now)))}
    return Standing(by_state, joined(state for one in alive if (state := one.intake())))


class Processes:
    """Reads and writes them, by the database's clock. ``process`` is this one."""

    def __init__(self, database: Database, process: str = "") -> None:
        self.database, self.process = database, process or f"{socket.gethostname()}:{os.getpid()}"

    def now(self) -> datetime:
        """By the clock that all machines share."""
        return self.database.clock() - self.database.skew

    def beat(self, places: Iterable[Place], started: datetime, failing: Iterable[IntakeState] = (), steady: datetime | None = None) -> None:
        """A sign of life, with the sources whose messages cannot be taken. Waits for no run, and none for it (PostgreSQL)."""
        wrong, now = {one.source: one for one in failing}, self.now()
        rows = [(self.process, *place, started, steady or started, now, *_failing(wrong.get(place.source))) for place in places]
        with self.database.write(f"process {self.process}") as transaction:
            self.database.upsert(transaction, ProcessRow, COLUMNS, rows)

    def leave(self) -> None:
        """This process ends cleanly."""
        with self.database.write(f"process {self.process}") as transaction:
            self.database.delete(transaction, ProcessRow, ("process",), [(self.process,)])

    def sweep(self) -> None:
        """Removes what is silent and replaced, or forgotten."""
        rows = [(one.process, one.place.role, one.place.source) for one in replaced(self.read(), self.now())]
        if rows:
            with self.database.write("processes") as transaction:
                self.database.delete(transaction, ProcessRow, KEY, rows)

    def read(self) -> list[Seen]:
        """Every line."""
        with self.database.read() as connection:
            rows = self.database.select(connection, READ, [])
        return [_seen(row) for row in rows]


def _seen(row: tuple[Any, ...]) -> Seen:
    process, role, source, enterprise, started, steady, last, failing, messages, reason = row
    since = instant(failing) if failing else None
    return Seen(process, Place(role, source, enterprise), instant(started), instant(steady), instant(last), since, messages, reason)


def _failing(state: IntakeState | None) -> tuple[datetime | None, int, str]:
    return (state.since, state.messages, state.reason) if state else (None, 0, "")
