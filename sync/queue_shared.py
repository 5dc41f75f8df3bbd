"""The queue in PostgreSQL, by procrastinate: any process asks, any worker machine takes.

A job row holds a source, a kind and the id of a run. Rows of jobs that are done are removed: the journal has the runs.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued

from store.db.database import Database, driver_connection
from store.errors import RunActive
from store.runs.queued_runs import QueuedRuns
from store.runs.runs import Run, RunKind
from sync import logs
from sync.queue import Depth, Job
from sync.run import Lane

QUEUE, TASK = "emr-sync", "run"
LATER = 30.0
"""Seconds until a job that could not be done, or queued, is tried again."""
URGENCY: dict[str, int] = {RunKind.RESYNC: 1}
"""Somebody waits for these: of the jobs of one source they go first."""
DEPTH = """SELECT count(*) FILTER (WHERE status = 'todo'), count(*) FILTER (WHERE status = 'doing')
           FROM procrastinate_jobs WHERE queue_name = ?"""
WAITS = "SELECT 1 FROM procrastinate_jobs WHERE queueing_lock = ? AND status = 'todo'"


class ReadableSources(Protocol):
    """Which sources can be read (``sync.worker.Worker``)."""

    def lane(self, job: Job) -> Lane:
        """The source of a job. Raises ``Unusable`` when it is not configured, or calls us."""


class SharedQueue:
    """Writes jobs down. Two of one source are never handed out at once: the row's lock is its source.

    ``stop`` ends the attempts of ``put`` while the database is away.
    """

    def __init__(self, database: Database, queued: QueuedRuns, sources: ReadableSources, clock: Any, stop: threading.Event) -> None:
        self.database, self.queued, self.sources, self.clock, self.stop = database, queued, sources, clock, stop
        self.log: Any = logs.logger()
        self._app = App(connector=SyncPsycopgConnector())  # never opened: it writes on connections of ours

    def put(self, job: Job) -> bool:
        """Queues a job. False when the same one waits already, or this process ends.

        A schedule that asks once a week must not be lost to a restart of the database, so this goes on until it is done.
        """
        while not self.stop.is_set():
            try:
                return self._put(job)
            except Exception as error:
                self.log.error("job not queued", source=job.source, kind=job.kind, error=logs.place(error))
            self.stop.wait(LATER)
        return False

    def request(self, job: Job) -> Run:
        """Writes down a run for a worker to take. Raises ``RunActive`` while one is under way or asked for, ``Unusable``."""
        lane = self.sources.lane(job)

        def also(transaction: Any, run: Run) -> None:
            self._defer(transaction, job._replace(run=run.id))

        try:
            return self.queued.add(*lane, job.kind, now=self.clock(), also=also)
        except AlreadyEnqueued as error:
            raise RunActive(f"{lane.source} already has a run that waits for a worker; see emr-sync runs {lane.source}") from error

    def depth(self) -> Depth:
        """How much there is to do on all machines."""
        with self.database.read() as connection:
            return Depth(*self.database.select(connection, DEPTH, [QUEUE])[0])

    def waits(self, job: Job) -> bool:
        """Whether the same job is asked for already."""
        with self.database.read() as connection:
            return bool(self.database.select(connection, WAITS, [_once(job)]))

    def close(self) -> None:
        """Nothing to do: what waits is for whoever works next."""

    def _put(self, job: Job) -> bool:
        try:
            with self.database.write(QUEUE) as transaction:
                self._defer(transaction, job)
        except AlreadyEnqueued:
            return False
        return True

    def _defer(self, transaction: Any, job: Job) -> None:
        self._app.configure_task(
            TASK,
            queue=QUEUE,
            lock=job.source,
            queueing_lock=_once(job),
            priority=URGENCY.get(job.kind, 0),
            connection=driver_connection(transaction),
        ).defer(**job._asdict())


def _once(job: Job) -> str:
    return f"{job.source}/{job.kind}"
