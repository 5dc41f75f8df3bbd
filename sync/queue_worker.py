"""The role of a worker machine: takes jobs of the shared queue and does them in threads, until it is stopped.

A worker sends a heartbeat. One that is silent for ``silence`` counts as gone: its jobs are given back and another takes them.
If it is alive after all, nothing is done twice, because the journal allows one run per source.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.job_context import JobContext
from procrastinate.jobs import Job as JobRow
from procrastinate.jobs import Status
from procrastinate.worker import Worker

from sync import logs, retry
from sync.queue import Job, JobRunner
from sync.queue_shared import LATER, QUEUE, TASK, SharedQueue

AT_ONCE = 1.0
"""Seconds until a job of a worker that stops is there for the others."""

POLL = 1.5
"""Seconds until a job is found that nobody announced, because it went back."""
TEND = 1.5
"""Seconds between two looks for workers that are gone. With ``POLL``: how much longer than ``silence`` a lost worker's job waits."""
SPARE = 2
"""Threads beside those that work: a connection that comes back needs one, to look up its host's name."""


class Requeued(Exception):
    """The job goes back to the queue."""


class GoesBack(BaseRetryStrategy):
    """Jobs that could not be done now go back, also when the database was away; those of a worker that stops are wanted at once."""

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping

    def get_retry_decision(self, *, exception: BaseException, job: JobRow) -> RetryDecision | None:
        """When the job is tried again; ``None`` is never."""
        if not isinstance(exception, Requeued) and not retry.passes(exception):
            return None
        pause = AT_ONCE if self.stopping.is_set() else LATER
        return RetryDecision(retry_in={"milliseconds": round(pause * 1000)})


class QueueWorker:
    """Works in a thread with an event loop of its own. While the database is away it waits and connects again.

    ``stopping`` is set before ``stop`` is called, so that runs end between two batches.
    """

    def __init__(self, queue: SharedQueue, work: JobRunner, parallel: int, silence: timedelta, stopping: threading.Event) -> None:
        self.queue, self.work, self.parallel, self.silence, self.stopping = queue, work, parallel, silence.total_seconds(), stopping
        self.log: Any = logs.logger()
        self._doing: set[int | None] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="queue")

    def start(self) -> None:
        """Starts taking jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no more jobs; returns when those under way have ended or went back."""
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop has ended by itself
                self._loop.call_soon_threadsafe(self._asked.set)
        self._thread.join()

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.set_default_executor(ThreadPoolExecutor(self.parallel + SPARE, thread_name_prefix="work"))
            while not self.stopping.is_set():
                try:
                    runner.run(self._until_asked())
                except Exception as error:
                    self.log.error("the queue cannot be reached", error=logs.place(error))
                    self.stopping.wait(min(LATER, self.silence))

    async def _until_asked(self) -> None:
        session, asked = asyncio.create_task(self._session()), asyncio.create_task(self._asked.wait())
        await asyncio.wait((session, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        session.cancel()
        with suppress(asyncio.CancelledError):
            await session

    async def _session(self) -> None:
        """One connection to the queue, from registering to leaving it. Ends when cancelled, or with what went wrong."""
        app = self._application()
        async with app.open_async():
            worker = self._worker(app)
            working = asyncio.create_task(worker.run())
            tending = asyncio.create_task(self._tend(app, worker))
            try:
                await asyncio.wait((working, tending), return_when=asyncio.FIRST_COMPLETED)
            finally:
                working.cancel()
                await asyncio.wait((working,))
                tending.cancel()
                await asyncio.wait((tending,))
            for task in (working, tending):
                if not task.cancelled() and (error := task.exception()):
                    raise error

    def _application(self) -> App:
        pool: dict[str, Any] = {"kwargs": self.queue.database.driver_arguments(), "min_size": 1, "max_size": self.parallel + 1}
        app = App(connector=PsycopgConnector(**pool))
        app.task(name=TASK, queue=QUEUE, pass_context=True, retry=GoesBack(self.stopping))(self._do)
        return app

    def _worker(self, app: App) -> Any:  # its run() has no types
        beat = self.silence / 3
        return Worker(
            app,
            [QUEUE],
            concurrency=self.parallel,
            delete_jobs="always",
            install_signal_handlers=False,
            fetch_job_polling_interval=min(POLL, beat),
            update_heartbeat_interval=beat,
            stalled_worker_timeout=self.silence,
        )

    def _do(self, context: JobContext, source: str, kind: str, run: str = "") -> None:
        """One job, in a thread."""
        job = Job(source, kind, run)
        self._doing.add(context.job.id)
        try:
            if (self.stopping.is_set() or not self.work.do(job)) and not self.queue.waits(job):
                raise Requeued
        finally:
            self._doing.discard(context.job.id)

    async def _tend(self, app: App, worker: Any) -> None:
        """Says that this worker lives, and gives back the jobs of those that are gone."""
        forgotten: set[int | None] = set()
        manager, loop, beat = app.job_manager, asyncio.get_running_loop(), self.silence / 3
        looked = 0.0
        while True:
            await asyncio.sleep(min(TEND, beat))
            if worker.worker_id is None:
                continue
            await manager.update_heartbeat(worker.worker_id)
            if loop.time() - looked >= beat:
                looked = loop.time()
                doing = [*await manager.list_jobs_async(queue=QUEUE, status=Status.DOING.value, worker_id=worker.worker_id)]
                idle = {job.id for job in doing} - self._doing  # a lost answer of the database can leave one behind: once is no proof
                for job in [one for one in doing if one.id in idle & forgotten]:
                    await self._give_back(app, job)
                forgotten = idle
            for job in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=self.silence):
                if job.id not in self._doing:
                    await self._give_back(app, job)

    async def _give_back(self, app: App, job: JobRow) -> None:
        self.log.warning("job given back", source=job.task_kwargs.get("source"), kind=job.task_kwargs.get("kind"))
        try:
            await app.job_manager.retry_job(job)
        except UniqueViolation:  # the same one was asked for since
            await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
        except ConnectorException:
            self.log.info("job already given back", source=job.task_kwargs.get("source"))
