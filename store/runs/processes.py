"""The serving processes. Every few seconds each records its roles and the sources whose messages it cannot process.

So any process can report on all of them: on a listener of another machine that fails, and on a process that is gone. A process that
ends cleanly removes its rows. One that was killed is reported as gone until another has started in its place.
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
"""Seconds between two heartbeats."""
SILENT = timedelta(seconds=20)
"""After this long without a heartbeat a process counts as gone. A busy database may delay one by ten seconds (``store.db.limits``)."""
FORGOTTEN = timedelta(days=7)
HEARTBEAT = ("started", "steady", "seen", "failing", "messages", "reason", "reloaded", "not_reloaded")
COLUMNS = ("process", "role", "source", "enterprise", *HEARTBEAT)
KEY = ("process", "role", "source")
READ = f"SELECT {', '.join(COLUMNS)} FROM processes ORDER BY process, role, source"


class Place(NamedTuple):
    """A role of a process; for a listener also its source and enterprise."""

    role: str
    source: str = ""
    enterprise: str = ""


class Reload(NamedTuple):
    """When a process last read its configuration again. ``why_not``: why the former one is still in force; empty if it is not."""

    at: datetime
    why_not: str = ""


class Seen(NamedTuple):
    """One role of one process, and its failure, if any (since when, how many messages, why).

    ``started``, ``seen``: its first and last heartbeat; ``steady``: since when heartbeats have come without a gap. ``reload``: when it
    last read its configuration again, and why it kept the former one.
    """

    process: str
    place: Place
    started: datetime
    steady: datetime
    seen: datetime
    failing: datetime | None = None
    messages: int = 0
    reason: str = ""
    reload: Reload | None = None

    def intake(self) -> IntakeState | None:
        """The failure as readiness reports it; ``None`` without one."""
        if self.failing is None:
            return None
        return IntakeState(self.place.enterprise, self.place.source, self.failing, self.messages, self.reason)


class ProcessState(Struct, frozen=True):
    """A process that is gone: its role, a listener's source, and its last heartbeat."""

    enterprise: str
    role: str
    source: str
    last_seen: datetime


def is_silent(one: Seen, now: datetime) -> bool:
    """Whether its last heartbeat is too old."""
    return now - one.seen > SILENT


def gone(found: Sequence[Seen], now: datetime) -> list[Seen]:
    """The silent ones that no other has replaced since.

    Empty just after a database outage, when no process could send a heartbeat.
    """
    if not any(not is_silent(one, now) and now - one.steady >= SILENT for one in found):
        return []
    left = set(replaced(found, now))
    return [one for one in found if is_silent(one, now) and one not in left]


def replaced(found: Sequence[Seen], now: datetime) -> list[Seen]:
    """The silent ones that are no longer reported: another has started in their place, or they are long gone."""
    newest: dict[Place, datetime] = {}
    for one in found:
        if not is_silent(one, now):
            newest[one.place] = max(one.started, newest.get(one.place, one.started))
    silent = [one for one in found if is_silent(one, now)]
    return [one for one in silent if now - one.seen > FORGOTTEN or (one.place in newest and newest[one.place] >= one.seen)]


def joined(intakes: Iterable[IntakeState]) -> tuple[IntakeState, ...]:
    """One state per source from all processes that receive its messages: since the first failure, with all messages counted."""
    found: dict[str, IntakeState] = {}
    for one in intakes:
        other = found.get(one.source, one)
        messages = one.messages + (other.messages if other is not one else 0)
        first = min(one, other, key=lambda state: state.since)
        found[one.source] = IntakeState(first.enterprise, first.source, first.since, messages, first.reason)
    return tuple(found[source] for source in sorted(found))


class Standing(NamedTuple):
    """A summary of all processes for metrics: how many are alive or gone, by role, and which sources fail."""

    by_state: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    failing: tuple[IntakeState, ...] = ()


NOBODY = Standing()


def standing(found: Sequence[Seen], now: datetime) -> Standing:
    """The summary of all recorded processes."""
    alive = [one for one in found if not is_silent(one, now)]
    by_state = {state: Counter(one.place.role for one in some) for state, some in (("alive", alive), ("gone", gone(found, now)))}
    return Standing(by_state, joined(state for one in alive if (state := one.intake())))


class Processes:
    """Reads and writes the rows, with times by the database's clock. ``process`` is this process."""

    def __init__(self, database: Database, process: str = "") -> None:
        self.database, self.process = database, process or f"{socket.gethostname()}:{os.getpid()}"

    def now(self) -> datetime:
        """The current time by the clock that all machines share."""
        return self.database.clock() - self.database.skew

    def beat(
        self,
        places: Iterable[Place],
        started: datetime,
        failing: Iterable[IntakeState] = (),
        steady: datetime | None = None,
        reload: Reload | None = None,
    ) -> None:
        """Records a heartbeat, the sources that fail and the last reload. On PostgreSQL it neither waits for runs nor delays them."""
        by_source, now = {one.source: one for one in failing}, self.now()
        last = tuple(reload) if reload else (None, "")
        rows = [(self.process, *place, started, steady or started, now, *_failing(by_source.get(place.source)), *last) for place in places]
        with self.database.write(f"process {self.process}") as transaction:
            self.database.upsert(transaction, ProcessRow, COLUMNS, rows)

    def leave(self) -> None:
        """Removes this process, which ends cleanly."""
        with self.database.write(f"process {self.process}") as transaction:
            self.database.delete(transaction, ProcessRow, ("process",), [(self.process,)])

    def give_up(self, places: Iterable[Place]) -> None:
        """Removes places that this process no longer has, so that they are not missed."""
        rows = [(self.process, one.role, one.source) for one in places]
        with self.database.write(f"process {self.process}") as transaction:
            self.database.delete(transaction, ProcessRow, KEY, rows)

    def former(self) -> list[Seen]:
        """What a process of the same name left, as in a container that was killed and started again. Removed with :meth:`leave`."""
        return [one for one in self.read() if one.process == self.process]

    def sweep(self) -> list[Seen]:
        """Removes silent processes that were replaced or are long gone, and returns them: none of them ended cleanly."""
        swept = replaced(self.read(), self.now())
        if swept:
            with self.database.write("processes") as transaction:
                self.database.delete(transaction, ProcessRow, KEY, [(one.process, one.place.role, one.place.source) for one in swept])
        return swept

    def read(self) -> list[Seen]:
        """All recorded processes."""
        with self.database.read() as connection:
            rows = self.database.select(connection, READ, [])
        return [_seen(row) for row in rows]


def _seen(row: tuple[Any, ...]) -> Seen:
    process, role, source, enterprise, started, steady, last, failing, messages, reason, reloaded, why_not = row
    since, reload = instant(failing) if failing else None, Reload(instant(reloaded), why_not) if reloaded else None
    return Seen(process, Place(role, source, enterprise), instant(started), instant(steady), instant(last), since, messages, reason, reload)


def _failing(state: IntakeState | None) -> tuple[datetime | None, int, str]:
    return (state.since, state.messages, state.reason) if state else (None, 0, "")
