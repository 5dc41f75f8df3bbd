"""Requested runs that wait for a worker, which may be on another machine.

A queued run has no owner yet: it sends no heartbeats and does not block other runs of its source.
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
"""The statuses of runs that came to their end. A failed run is not among them: it may have lost its worker."""
LOST = "no worker picked it up: its job is gone from the queue"


class QueuedRuns:
    """Records queued runs and hands each to exactly one worker."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.database = journal, journal.database

    def add(self, source: str, enterprise: str, kind: str, *, now: datetime, enqueue: Callable[[Connection, Run], None]) -> Run:
        """Records a new queued run; ``enqueue`` adds its job in the same transaction. Raises ``RunActive``.

        The caller makes sure that at most one run of a source is queued. An older one that is still queued was lost and is closed.
        """
        run = Run(token("run"), source, enterprise, kind, RunStatus.QUEUED, now)
        with self.database.write(enterprise) as transaction:
            self.journal.close_abandoned(transaction, source, now)
            if self.database.select(transaction, "SELECT 1 FROM runs WHERE source = ? AND status = 'running'", [source]):
                raise RunActive(f"{source} has a run in progress: wait for it, or see emr-sync runs {source}")
            enqueue(transaction, run)
            self._close_lost(transaction, source, now)
            self.journal.add(transaction, run)
        return run

    def take(self, number: str, *, now: datetime) -> Run | None:
        """Takes the run over for this process. Raises ``RunActive`` while another run of its source is in progress.

        If it was taken before and its worker did not finish it, a new run does its work. ``None`` if it is finished.
        """
        queued = self.journal.run(number)
        with one_at_a_time(queued.source), self.database.write(queued.enterprise) as transaction:
            self.journal.close_abandoned(transaction, queued.source, now)
            status = self.database.select(transaction, "SELECT status FROM runs WHERE id = ?", [number])[0][0]
            if status in ENDED:
                return None
            if status == RunStatus.QUEUED:
                taken = replace(queued, status=RunStatus.RUNNING, started=now)
                columns = ("status", "owner", "started", "alive")
                self.database.update(
                    transaction, RunRow, ("id",), columns, [(RunStatus.RUNNING, self.journal.owner, now, self.journal.shared(now), number)]
                )
            else:
                taken = Run(token("run"), queued.source, queued.enterprise, queued.kind, RunStatus.RUNNING, now)
                self.journal.add(transaction, taken)
        return taken

    def refuse(self, number: str, why: str, now: datetime) -> Run:
        """Closes a run that cannot be done. ``why`` is one line for people."""
        return self.journal.finish(self.journal.run(number), RunStatus.FAILED, why, now)

    def _close_lost(self, transaction: Connection, source: str, now: datetime) -> None:
        rows = self.database.select(transaction, "SELECT id FROM runs WHERE source = ? AND status = ?", [source, RunStatus.QUEUED])
        lost = [(RunStatus.FAILED, LOST, now, number) for (number,) in rows]
        self.database.update(transaction, RunRow, ("id",), ("status", "error", "finished"), lost)
