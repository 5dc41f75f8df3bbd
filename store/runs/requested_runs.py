"""Runs that people request, where the database has no queue of its own (SQLite). A request is kept until its work is done.

The request is a note of the source with the id of its run: at most one for each source. So neither the process that takes requests nor
the one that works loses it by ending.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.tables import SourceNoteRow
from store.domain.documents import instant
from store.errors import RunActive
from store.runs.queued_runs import ENDED, QueuedRuns
from store.runs.runs import INTERRUPTED, Run, RunStatus

NOTE = "requested run"
COLUMNS = ("source", "key", "enterprise", "text")
OPEN = """SELECT r.source, r.enterprise, r.kind, r.id, r.started, r.status FROM source_notes n JOIN runs r ON r.id = n.text
          WHERE n.key = ? ORDER BY r.started, r.id"""
SINCE = "SELECT status, error FROM runs WHERE source = ? AND kind = ? AND started >= ?"
ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING)
ALREADY = "{source} already has a run that waits for a worker; see emr-sync runs {source}"


class Request(NamedTuple):
    """A request: the run that was recorded for it."""

    source: str
    enterprise: str
    kind: str
    run: str
    started: datetime
    status: str


class RequestedRuns:
    """Keeps requests. Any process may add one; those that do runs look for them."""

    def __init__(self, queued: QueuedRuns) -> None:
        self.queued, self.journal, self.database = queued, queued.journal, queued.database

    def add(self, source: str, enterprise: str, kind: str, now: datetime) -> Run:
        """Records a queued run. Raises ``RunActive`` while one of its source is in progress or queued."""

        def note(transaction: Connection, run: Run) -> None:
            if self.database.select(transaction, "SELECT 1 FROM runs WHERE source = ? AND status = 'queued'", [source]):
                raise RunActive(ALREADY.format(source=source))
            self.database.upsert(transaction, SourceNoteRow, COLUMNS, [(source, NOTE, enterprise, run.id)])

        return self.queued.add(source, enterprise, kind, now=now, enqueue=note)

    def waiting(self) -> list[Request]:
        """The requests whose runs nobody has taken yet, the oldest first."""
        return [one for one in self._open() if one.status == RunStatus.QUEUED]

    def left_undone(self, now: datetime) -> Iterator[Request]:
        """The requests whose runs were stopped or died, with all that tried again. Requests that were done are forgotten."""
        for one in self._open():
            if one.status != RunStatus.QUEUED and self._is_left_undone(one, now):
                yield one

    def _open(self) -> list[Request]:
        with self.database.read() as connection:
            rows = self.database.select(connection, OPEN, [NOTE])
        return [_request(row) for row in rows]

    def _is_left_undone(self, one: Request, now: datetime) -> bool:
        with self.database.write(one.enterprise) as transaction:
            self.journal.close_abandoned(transaction, one.source, now)
            found = self.database.select(transaction, SINCE, [one.source, one.kind, self.database.bound(one.started)])
            if all(_came_to_nothing(*row) for row in found):
                return one.status not in ENDED
            if not any(status in ACTIVE for status, _ in found):
                self.database.delete(transaction, SourceNoteRow, ("source", "key", "text"), [(one.source, NOTE, one.run)])
        return False


def _came_to_nothing(status: str, error: str | None) -> bool:
    return status == RunStatus.STOPPED or error == INTERRUPTED


def _request(row: tuple[Any, ...]) -> Request:
    source, enterprise, kind, run, started, status = row
    return Request(source, enterprise, kind, run, instant(started), status)
