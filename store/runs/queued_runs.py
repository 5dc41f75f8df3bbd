"""Runs that were asked for and wait for a worker, which may be of another machine.

Such a run is nobody's yet: it gives no signs of life, and does not stand in the way of others of its source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from store.db.tables import RunRow
from store.domain.ids import token
from store.errors import RunActive
from store.runs.runs import Journal, Run, RunStatus, one_at_a_time

ENDED = frozenset({RunStatus.DONE, RunStatus.HELD, RunStatus.WAITING})
"""How a run that came to its end stands in the journal. A failed one may have lost its worker."""
LOST = "no worker picked it up: its job is gone from the queue"


class QueuedRuns:
    """Writes them down, and hands each to the one worker that takes it."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.database = journal, journal.database

    def add(self, source: str, enterprise: str, kind: str, *, now: datetime, also: Callable[[Connection, Run], None]) -> Run:
        """A new run that waits; ``also`` puts it where workers look, in the same transaction. Raises ``RunActive``.

        Whoever calls sees to it that at most one is asked for at a time: any older one that waits still is lost, and is closed.
        """
        run = Run(token("run"), source, enterprise, kind, RunStatus.QUEUED, now)
        with self.database.write(enterprise) as transaction:
            self.journal.close_abandoned(transaction, source, now)
            if self.database.select(transaction, "SELECT 1 FROM runs WHERE source = ? AND status = 'running'", [source]):
                raise RunActive(f"{source} has a run in progress: wait for it, or see emr-sync runs {source}")
            also(transaction, run)
            self._close_lost(transaction, source, now)
            self.journal.add(transaction, run)
        return run

    def take(self, number: str, *, now: datetime) -> Run | None:
        """The run, now this process's. Raises ``RunActive`` while another of its source is under way.

        Where it was taken before and its worker did not bring it to an end, a new run does its work. ``None`` when it did.
        """
        asked = self.journal.run(number)
        with one_at_a_time(asked.source), self.database.write(asked.enterprise) as transaction:
            self.journal.close_abandoned(transaction, asked.source, now)
            status = self.database.select(transaction, "SELECT status FROM runs WHERE id = ?", [number])[0][0]
            if status in ENDED:
                return None
            if status == RunStatus.QUEUED:
                taken = replace(asked, status=RunStatus.RUNNING, started=now)
                columns = ("status", "owner", "started", "alive")
                self.database.update(
                    transaction, RunRow, ("id",), columns, [(RunStatus.RUNNING, self.journal.owner, now, self.journal.shared(now), number)]
                )
            else:
                taken = Run(token("run"), asked.source, asked.enterprise, asked.kind, RunStatus.RUNNING, now)
                self.journal.add(transaction, taken)
        return taken

    def refuse(self, number: str, why: str, now: datetime) -> Run:
        """Closes a run that nobody can do. ``why`` is one line for people."""
        return self.journal.finish(self.journal.run(number), RunStatus.FAILED, why, now)

    def _close_lost(self, transaction: Connection, source: str, now: datetime) -> None:
        rows = self.database.select(transaction, "SELECT id FROM runs WHERE source = ? AND status = ?", [source, RunStatus.QUEUED])
        lost = [(RunStatus.FAILED, LOST, now, number) for (number,) in rows]
        self.database.update(transaction, RunRow, ("id",), ("status", "error", "finished"), lost)
