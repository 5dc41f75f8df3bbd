"""The journal: runs with their counts, cursors, when data was last received from each source, and rejections.

A run's counts and cursor are written in the transaction of the batch they belong to. So after a crash at any point the cursor is exactly
behind what is stored. A partial unique index allows one active run per source.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from store.db.database import Database
from store.db.tables import RunRow, SourceNoteRow, SourceStateRow
from store.domain import documents
from store.domain.documents import instant
from store.domain.ids import token
from store.errors import NotFound, RunActive
from store.runs.encryption import Sealing
from store.runs.rejection_room import Room
from store.runs.rejections import NotKept, Rejected, Rejection, RejectionStatus, RejectionStore

RECEIVED_EVERY = timedelta(seconds=1)
LEASE = timedelta(minutes=2)
"""After this long without a heartbeat a run's process counts as gone or frozen."""
INTERRUPTED = "interrupted: its process ended before it did"

RUN_COLUMNS = (
    "id",
    "source",
    "enterprise",
    "kind",
    "status",
    "owner",
    "started",
    "alive",
    "finished",
    "since",
    "cursor",
    "counts",
    "error",
)
RUN_FIELDS = "id, source, enterprise, kind, status, started, finished, since, cursor, counts, error"
__all__ = [
    "LEASE",
    "READ_AGAIN",
    "RUN_FIELDS",
    "Journal",
    "NotKept",
    "Rejected",
    "Rejection",
    "RejectionStatus",
    "Run",
    "RunKind",
    "RunStatus",
    "run_of",
]


class RunStatus(StrEnum):
    """The state of a run in the journal."""

    QUEUED = "queued"
    """Requested; no worker has taken it yet."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    """Its process was told to stop. The next run continues from what is committed."""
    WAITING = "waiting"
    """The EMR was not ready in time. The next run continues from its cursor."""
    HELD = "held"
    """The safeguard holds changes of it until a person decides."""


class RunKind(StrEnum):
    """What a run does."""

    INCREMENTAL = "incremental"
    FULL = "full"
    RESYNC = "resync"
    """Requested by a person."""
    INGEST = "ingest"
    """Reads files."""
    REMAP = "remap"
    LIVE = "live"
    """Keeps the changes of a live feed that the safeguard holds."""
    CONFIGURATION = "configuration"
    """Keeps a configuration that the safeguard holds."""
    SETTINGS = "settings"
    """Keeps changed settings that the safeguard holds."""


READ_AGAIN = "read again"
"""The note of a run that read its source twice begins with this: its counts are those of two reads."""


@dataclass(frozen=True, slots=True)
class Run:
    """One pull, batch or resync. ``counts`` by outcome; ``cursor`` is where it ended.

    ``error`` is one line for people: why the run failed or waits. For a run that is done it is a :attr:`note`.
    """

    id: str
    source: str
    enterprise: str
    kind: str
    status: RunStatus
    started: datetime
    finished: datetime | None = None
    since: str | None = None
    cursor: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None

    @property
    def note(self) -> str | None:
        """A remark on a run that is done, such as that it read again after an interrupted response."""
        return self.error if self.status == RunStatus.DONE else None

    @property
    def failure(self) -> str | None:
        """Why the run failed or waits; ``None`` if it is done."""
        return None if self.status == RunStatus.DONE else self.error


class Journal:
    """Reads and writes the journal. Thread-safe; one per process."""

    def __init__(
        self,
        database: Database,
        sealing: Sealing | None = None,
        lease: timedelta = LEASE,
        room: Room = Room(),  # noqa: B008 - a frozen value
    ) -> None:
        self.database, self.rejection_store, self.lease = database, RejectionStore(database, sealing, room), lease
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self._received: dict[str, datetime] = {}

    def start(self, source: str, enterprise: str, kind: str, *, now: datetime, since: datetime | None = None) -> Run:
        """Starts a run. Raises :class:`RunActive` while another is in progress; one whose process is gone is closed first."""
        run = Run(token("run"), source, enterprise, kind, RunStatus.RUNNING, now, since=since.isoformat() if since else None)
        with one_at_a_time(source), self.database.write(enterprise) as transaction:
            self.close_abandoned(transaction, source, now)
            self.add(transaction, run)
        return run

    def add(self, transaction: Connection, run: Run) -> None:
        """Records a new run as owned by this process."""
        row = (
            run.id,
            run.source,
            run.enterprise,
            run.kind,
            run.status,
            self.owner,
            run.started,
            self.shared(run.started),
            None,
            run.since,
            None,
            "{}",
            None,
        )
        self.database.insert(transaction, RunRow, RUN_COLUMNS, [row])

    def progress(self, transaction: Connection, run: Run, counts: Mapping[str, int], cursor: str | None, *, now: datetime) -> None:
        """Updates the run's counts, and the cursor that is safe once this transaction commits (``None`` keeps the old one)."""
        self.database.update(transaction, RunRow, ("id",), ("counts", "alive"), [(documents.write(dict(counts)), self.shared(now), run.id)])
        if cursor is not None:
            self.database.update(transaction, RunRow, ("id",), ("cursor",), [(cursor, run.id)])
            self._state(transaction, run.source, run.enterprise, "cursor", cursor)

    def alive(self, run: Run, now: datetime) -> None:
        """Records a heartbeat while the run waits for the EMR. It does not wait for other, possibly frozen, writers."""
        with self.database.write(run.id) as transaction:
            self.database.update(transaction, RunRow, ("id",), ("alive",), [(self.shared(now), run.id)])

    def finish(self, run: Run, status: RunStatus, error: str | None, now: datetime) -> Run:
        """Closes the run: ``done``, ``failed``, ``held``, ``waiting`` or ``stopped``."""
        with self.database.write(run.enterprise) as transaction:
            self.database.update(transaction, RunRow, ("id",), ("status", "error", "finished"), [(status, error, now, run.id)])
        return self.run(run.id)

    def run(self, number: str) -> Run:
        """One run. Raises :class:`NotFound` if there is none with that id."""
        found = self._runs("WHERE id = ?", [number])
        if not found:
            raise NotFound("no such run: list them with emr-sync runs")
        return found[0]

    def runs(self, enterprise: str | None = None, source: str | None = None, limit: int = 50) -> list[Run]:
        """Runs, the newest first."""
        where, parameters = _where(enterprise=enterprise, source=source)
        return self._runs(f"{where} ORDER BY started DESC, id DESC LIMIT ?", [*parameters, limit])

    def cursor(self, source: str) -> str | None:
        """Where the next incremental pull continues."""
        rows = self._select("SELECT cursor FROM source_states WHERE source = ?", [source])
        return rows[0][0] if rows else None

    def forget_other_enterprise(self, source: str, enterprise: str) -> None:
        """Forgets the source's state if it is another enterprise's, as after a rename: nothing was read yet for this one."""
        other_states = "SELECT 1 FROM source_states WHERE source = ? AND enterprise <> ?"
        if self._select(other_states, [source, enterprise]):
            with self.database.write(enterprise) as transaction:
                self.database.delete(transaction, SourceStateRow, ("source",), [(source,)])
                self.database.delete(transaction, SourceNoteRow, ("source",), [(source,)])
            self._received.pop(source, None)

    def mark_received(self, transaction: Connection, source: str, enterprise: str, *, now: datetime) -> None:
        """Records that the source answered or sent data: everything it stated until now is known. Written at most once a second."""
        before = self._received.get(source)
        if before is None or not timedelta(0) <= now - before < RECEIVED_EVERY:
            self._state(transaction, source, enterprise, "last_heard", now)
            self._received[source] = now

    def last_heard(self) -> dict[str, datetime]:
        """Source -> when data was last received from it."""
        rows = self._select("SELECT source, last_heard FROM source_states WHERE last_heard IS NOT NULL", [])
        return {source: instant(at) for source, at in rows}

    def reject(
        self,
        transaction: Connection,
        rows: Sequence[Rejected],
        *,
        source: str,
        enterprise: str,
        run_id: str | None,
        now: datetime,
        replayed: Rejection | None = None,
    ) -> NotKept:
        """Stores rejections (:meth:`RejectionStore.add`)."""
        add = self.rejection_store.add
        return add(transaction, rows, source=source, enterprise=enterprise, run_id=run_id, now=now, replayed=replayed)

    def rejections(
        self, enterprise: str | None = None, source: str | None = None, status: str | None = RejectionStatus.OPEN, limit: int = 100
    ) -> list[Rejection]:
        """Rejections without their payloads, the newest first."""
        return self.rejection_store.rejections(enterprise, source, status, limit)

    def rejection(self, number: str) -> Rejection:
        """One rejection with its payload (:meth:`RejectionStore.rejection`)."""
        return self.rejection_store.rejection(number)

    def resolve(self, transaction: Connection, number: str) -> None:
        """Marks a rejection as resolved (:meth:`RejectionStore.resolve`)."""
        self.rejection_store.resolve(transaction, number)

    def close_abandoned(self, transaction: Connection, source: str, now: datetime) -> None:
        """Closes the source's run if its process is gone."""
        sql, shared = "SELECT id, owner, alive FROM runs WHERE source = ? AND status = 'running'", self.shared(now)
        running = self.database.select(transaction, sql, [source])
        abandoned = [number for number, owner, alive in running if self._is_gone(owner, instant(alive), shared)]
        rows = [(RunStatus.FAILED, INTERRUPTED, now, number) for number in abandoned]
        self.database.update(transaction, RunRow, ("id",), ("status", "error", "finished"), rows)

    def shared(self, now: datetime) -> datetime:
        """Our time by the clock that all machines share. Heartbeats must be comparable to within seconds."""
        return now - self.database.skew

    def _is_gone(self, owner: str, alive: datetime, now: datetime) -> bool:
        """Whether a process is gone. On this machine: it has ended or is frozen. On another: no heartbeat during the lease."""
        host, _, process = owner.rpartition(":")
        if host != socket.gethostname():
            return now - alive > self.lease
        return (owner != self.owner and not _is_alive(int(process))) or now - alive > max(self.lease, LEASE)

    def _state(self, transaction: Connection, source: str, enterprise: str, column: str, value: Any) -> None:
        self.database.upsert(transaction, SourceStateRow, ("source", "enterprise", column), [(source, enterprise, value)])

    def _runs(self, clauses: str, parameters: list[Any]) -> list[Run]:
        return [run_of(row) for row in self._select(f"SELECT {RUN_FIELDS} FROM runs {clauses}", parameters)]

    def _select(self, sql: str, parameters: list[Any]) -> list[Any]:
        with self.database.read() as connection:
            return self.database.select(connection, sql, parameters)


@contextmanager
def one_at_a_time(source: str) -> Iterator[None]:
    """Raises ``RunActive`` if the unique index rejects the run because another run of the source is in progress."""
    try:
        yield
    except IntegrityError as error:
        raise RunActive(f"{source} has a run in progress: wait for it, or see emr-sync runs {source}") from error


def _where(**conditions: str | None) -> tuple[str, list[Any]]:
    filters = {name: value for name, value in conditions.items() if value is not None}
    return (f"WHERE {' AND '.join(f'{name} = ?' for name in filters)}" if filters else ""), list(filters.values())


def run_of(row: Any) -> Run:
    """The run of a row with :data:`RUN_FIELDS`."""
    number, source, enterprise, kind, status, started, finished, since, cursor, counts, error = row
    ended = None if finished is None else instant(finished)
    return Run(number, source, enterprise, kind, RunStatus(status), instant(started), ended, since, cursor, documents.read(counts), error)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
