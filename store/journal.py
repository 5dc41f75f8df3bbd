"""The journal of the work: runs and their counts, cursors, when each source was heard, and what could not be used.

A run's counts and cursor are written in the transaction of the batch they count, so that a crash at any point leaves the cursor
exactly behind what is stored. One active run per source: a partial unique index says so.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from store import documents
from store.apply import instant
from store.database import Database
from store.errors import RunActive, StoreError
from store.ids import token
from store.tables import RejectionRow, RunRow, SourceStateRow

LEASE = timedelta(minutes=2)
"""A run that gave no sign of life for this long belongs to a process that is gone."""

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
REJECTION_COLUMNS = (
    "id",
    "source",
    "enterprise",
    "digest",
    "scope",
    "status",
    "reason",
    "detail",
    "path",
    "locator",
    "payload",
    "times",
    "run_id",
    "first_at",
    "last_at",
)
SUMMARY = "id, source, enterprise, scope, status, reason, detail, path, locator, times, run_id, first_at, last_at"
RUNNING, DONE, FAILED = "running", "done", "failed"
OPEN, RESOLVED = "open", "resolved"


@dataclass(frozen=True, slots=True)
class Run:
    """One pull, batch or resync. ``counts`` by outcome; ``error`` is one line for people; ``cursor`` is where it ended."""

    id: str
    source: str
    enterprise: str
    kind: str
    status: str
    started: datetime
    finished: datetime | None = None
    since: str | None = None
    cursor: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None


class Rejected(NamedTuple):
    """Something that could not be used, on its way into the journal. ``scope``: the whole ``record``, or one ``field``."""

    reason: str
    detail: str
    path: str
    locator: str
    payload: bytes
    scope: str = "record"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A kept rejection. ``payload`` is there only where it was asked for: it holds a patient's data."""

    id: str
    source: str
    enterprise: str
    scope: str
    status: str
    reason: str
    detail: str
    path: str
    locator: str
    times: int
    run_id: str | None
    first_at: datetime
    last_at: datetime
    payload: bytes = b""


class Journal:
    """Reads and writes the journal. Thread-safe; one per process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = f"{socket.gethostname()}:{os.getpid()}"

    def start(self, source: str, enterprise: str, kind: str, *, now: datetime, since: datetime | None = None) -> Run:
        """Opens a run. Raises :class:`RunActive` while another is under way; one whose process is gone is closed first."""
        run = Run(token("run"), source, enterprise, kind, RUNNING, now, since=since.isoformat() if since else None)
        row = (run.id, source, enterprise, kind, RUNNING, self.owner, now, now, None, run.since, None, "{}", None)
        try:
            with self.database.write(enterprise) as transaction:
                self._close_abandoned(transaction, source, now)
                self.database.insert(transaction, RunRow, RUN_COLUMNS, [row])
        except IntegrityError as error:
            raise RunActive(f"{source} has a run under way: wait for it, or see emr-sync runs {source}") from error
        return run

    def progress(self, transaction: Connection, run: Run, counts: Mapping[str, int], cursor: str | None, *, now: datetime) -> None:
        """The run's counts so far, and the cursor that is safe with this transaction (``None`` keeps the old one)."""
        self.database.update(transaction, RunRow, ("id",), ("counts", "alive"), [(documents.write(dict(counts)), now, run.id)])
        if cursor is not None:
            self.database.update(transaction, RunRow, ("id",), ("cursor",), [(cursor, run.id)])
            self._state(transaction, run.source, run.enterprise, "cursor", cursor)

    def alive(self, run: Run, now: datetime) -> None:
        """A sign of life while the run waits for the EMR."""
        with self.database.write(run.enterprise) as transaction:
            self.database.update(transaction, RunRow, ("id",), ("alive",), [(now, run.id)])

    def finish(self, run: Run, status: str, error: str | None, now: datetime) -> Run:
        """Closes the run: ``done``, ``failed`` or ``held``."""
        with self.database.write(run.enterprise) as transaction:
            self.database.update(transaction, RunRow, ("id",), ("status", "error", "finished"), [(status, error, now, run.id)])
        return self.run(run.id)

    def run(self, number: str) -> Run:
        """One run. Raises :class:`StoreError` when there is none of that id."""
        found = self._runs("WHERE id = ?", [number])
        if not found:
            raise StoreError("no such run: emr-sync runs shows them")
        return found[0]

    def runs(self, enterprise: str | None = None, source: str | None = None, limit: int = 50) -> list[Run]:
        """Runs, the newest first."""
        where, parameters = _where(enterprise=enterprise, source=source)
        return self._runs(f"{where} ORDER BY started DESC, id DESC LIMIT ?", [*parameters, limit])

    def cursor(self, source: str) -> str | None:
        """Where the next incremental pull goes on."""
        rows = self._select("SELECT cursor FROM source_states WHERE source = ?", [source])
        return rows[0][0] if rows else None

    def heard(self, transaction: Connection, source: str, enterprise: str, *, now: datetime) -> None:
        """The source answered or called: what it stated until now is known."""
        self._state(transaction, source, enterprise, "last_heard", now)

    def last_heard(self) -> dict[str, datetime]:
        """Source -> when it was last heard."""
        rows = self._select("SELECT source, last_heard FROM source_states WHERE last_heard IS NOT NULL", [])
        return {source: instant(heard) for source, heard in rows}

    def reject(
        self,
        transaction: Connection,
        rows: Sequence[Rejected],
        *,
        source: str,
        enterprise: str,
        run_id: str | None,
        now: datetime,
    ) -> None:
        """Keeps what could not be used. The same payload for the same reason is one rejection, however often it comes."""
        if not rows:
            return
        digests = [_digest(row) for row in rows]
        by_digest, times_now = dict(zip(digests, rows, strict=True)), Counter(digests)
        known = self._known(transaction, source, list(by_digest))
        again = [(times + times_now[digest], now, OPEN, number) for digest, (number, times) in known.items()]
        self.database.update(transaction, RejectionRow, ("id",), ("times", "last_at", "status"), again)
        fresh = [(digest, row) for digest, row in by_digest.items() if digest not in known]
        new = [
            (
                token("rej"),
                source,
                enterprise,
                digest,
                row.scope,
                OPEN,
                row.reason,
                row.detail,
                row.path,
                row.locator,
                row.payload,
                times_now[digest],
                run_id,
                now,
                now,
            )
            for digest, row in fresh
        ]
        self.database.insert(transaction, RejectionRow, REJECTION_COLUMNS, new)

    def rejections(
        self, enterprise: str | None = None, source: str | None = None, status: str | None = OPEN, limit: int = 100
    ) -> list[Rejection]:
        """Rejections without their payloads, the newest first."""
        where, parameters = _where(enterprise=enterprise, source=source, status=status)
        rows = self._select(f"SELECT {SUMMARY} FROM rejections {where} ORDER BY last_at DESC, id DESC LIMIT ?", [*parameters, limit])
        return [_rejection(row) for row in rows]

    def rejection(self, number: str) -> Rejection:
        """One rejection with its payload. Raises :class:`StoreError` when there is none of that id."""
        rows = self._select(f"SELECT {SUMMARY}, payload FROM rejections WHERE id = ?", [number])
        if not rows:
            raise StoreError("no such rejection: emr-sync rejections shows them")
        return _rejection(rows[0])

    def resolve(self, transaction: Connection, number: str, *, now: datetime) -> None:
        """The rejection was replayed and what it held is applied."""
        self.database.update(transaction, RejectionRow, ("id",), ("status", "last_at"), [(RESOLVED, now, number)])

    def _close_abandoned(self, transaction: Connection, source: str, now: datetime) -> None:
        sql = "SELECT id, owner, alive FROM runs WHERE source = ? AND status = 'running'"
        gone = [
            number for number, owner, alive in self.database.select(transaction, sql, [source]) if self._gone(owner, instant(alive), now)
        ]
        rows = [(FAILED, "interrupted: its process ended before it did", now, number) for number in gone]
        self.database.update(transaction, RunRow, ("id",), ("status", "error", "finished"), rows)

    def _gone(self, owner: str, alive: datetime, now: datetime) -> bool:
        """Of this machine: no such process any more. Of another: no sign of life for the lease."""
        host, _, process = owner.rpartition(":")
        if host == socket.gethostname() and owner != self.owner and not _lives(int(process)):
            return True
        return now - alive > LEASE

    def _known(self, transaction: Connection, source: str, digests: list[str]) -> dict[str, tuple[str, int]]:
        sql = "SELECT digest, id, times FROM rejections WHERE source = ? AND digest IN ??"
        return {digest: (number, times) for digest, number, times in self.database.select(transaction, sql, [source, digests])}

    def _state(self, transaction: Connection, source: str, enterprise: str, column: str, value: Any) -> None:
        self.database.upsert(transaction, SourceStateRow, ("source", "enterprise", column), [(source, enterprise, value)])

    def _runs(self, rest: str, parameters: list[Any]) -> list[Run]:
        columns = "id, source, enterprise, kind, status, started, finished, since, cursor, counts, error"
        return [_run(row) for row in self._select(f"SELECT {columns} FROM runs {rest}", parameters)]

    def _select(self, sql: str, parameters: list[Any]) -> list[Any]:
        with self.database.read() as connection:
            return self.database.select(connection, sql, parameters)


def _where(**conditions: str | None) -> tuple[str, list[Any]]:
    given = {name: value for name, value in conditions.items() if value is not None}
    return (f"WHERE {' AND '.join(f'{name} = ?' for name in given)}" if given else ""), list(given.values())


def _digest(row: Rejected) -> str:
    said = "\0".join((row.reason, row.path, row.scope)).encode() + b"\0" + row.payload
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def _run(row: Any) -> Run:
    number, source, enterprise, kind, status, started, finished, since, cursor, counts, error = row
    ended = None if finished is None else instant(finished)
    return Run(number, source, enterprise, kind, status, instant(started), ended, since, cursor, documents.read(counts), error)


def _rejection(row: Any) -> Rejection:
    named = dict(zip((*SUMMARY.split(", "), "payload"), row, strict=False))
    times = {name: instant(named[name]) for name in ("first_at", "last_at")}
    return Rejection(**{**named, **times, "payload": bytes(named.get("payload", b""))})


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
