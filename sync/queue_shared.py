"""The queue in PostgreSQL, with procrastinate: any process adds jobs, any worker machine takes them.

A job row contains a source, a kind and the id of a run. Rows of finished jobs are removed; their runs are in the journal.
"""

from __future__ import annotations

import random
import threading
from itertools import count
from typing import Any, Protocol

from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued

from store.db.database import Database, driver_connection
from store.errors import RunActive
from store.runs.queued_runs import QueuedRuns
from store.runs.runs import Run, RunKind
from sync import logs, retry
from sync.queue import Depth, Job
from sync.run import Lane

QUEUE, TASK = "emr-sync", "run"
SOON, LATER = 1.0, 30.0
"""Seconds until a job that could not be done or queued is retried: soon after a failover, later and later in an outage."""
URGENCY: dict[str, int] = {RunKind.RESYNC: 1}
"""Priorities by kind. A person waits for a resync, so it goes first among the jobs of a source."""
DEPTH = """SELECT count(*) FILTER (WHERE status = 'todo'), count(*) FILTER (WHERE status = 'doing')
           FROM procrastinate_jobs WHERE queue_name = ?"""
OLDEST = """SELECT coalesce(extract(epoch FROM now() - min(e.at)), 0) FROM procrastinate_jobs j
            JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred' WHERE j.queue_name = ? AND j.status = 'todo'"""
"""By the database's clock, from the first time that the job was queued."""
WAITS = "SELECT 1 FROM procrastinate_jobs WHERE queueing_lock = ? AND status = 'todo'"


class ReadableSources(Protocol):
    """Finds the source of a job (``sync.worker.Worker``)."""

    def lane(self, job: Job) -> Lane:
        """The job's source. Raises ``UsageError`` if it is not configured or cannot be read."""


class SharedQueue:
    """Adds jobs. Two jobs of one source never run at once: a row's lock is its source.

    ``stop`` ends the retries of ``put`` while the database is unavailable.
    """

    def __init__(self, database: Database, queued: QueuedRuns, sources: ReadableSources, clock: Any, stop: threading.Event) -> None:
        self.database, self.queued, self.sources, self.clock, self.stop = database, queued, sources, clock, stop
        self.log: Any = logs.logger()
        self._app = App(connector=SyncPsycopgConnector())  # never opened: it writes on our connections

    def put(self, job: Job) -> bool:
        """Queues a job. ``False`` if the same job already waits, or this process ends.

        It retries until it succeeds, so that a weekly job is not lost because the database restarts.
        """
        for attempt in count(1):
            if self.stop.is_set():
                break
            try:
                return self._put(job)
            except Exception as error:
                self.log.error("job not queued", source=job.source, kind=job.kind, error=logs.place(error))
            self.stop.wait(retry.growing(attempt, SOON, LATER, random.random()))
        return False

    def request(self, job: Job) -> Run:
        """Queues a run for a worker. Raises ``RunActive`` while one is in progress or queued, and ``UsageError``."""
        lane = self.sources.lane(job)

        def enqueue(transaction: Any, run: Run) -> None:
            self._defer(transaction, job._replace(run=run.id))

        try:
            return self.queued.add(*lane, job.kind, now=self.clock(), enqueue=enqueue)
        except AlreadyEnqueued as error:
            raise RunActive(f"{lane.source} already has a run that waits for a worker; see emr-sync runs {lane.source}") from error

    def depth(self) -> Depth:
        """The numbers of jobs on all machines."""
        with self.database.read() as connection:
            return Depth(*self.database.select(connection, DEPTH, [QUEUE])[0])

    def oldest(self) -> float:
        """Seconds that the oldest waiting job has waited, on all machines."""
        with self.database.read() as connection:
            return max(0.0, float(self.database.select(connection, OLDEST, [QUEUE])[0][0]))

    def waits(self, job: Job) -> bool:
        """Whether the same job already waits."""
        with self.database.read() as connection:
            return bool(self.database.select(connection, WAITS, [_queueing_lock(job)]))

    def close(self) -> None:
        """Does nothing: waiting jobs are for other workers."""

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
            queueing_lock=_queueing_lock(job),
            priority=URGENCY.get(job.kind, 0),
            connection=driver_connection(transaction),
        ).defer(**job._asdict())


def _queueing_lock(job: Job) -> str:
    return f"{job.source}/{job.kind}"
