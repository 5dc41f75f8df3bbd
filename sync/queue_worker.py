"""The role of a worker machine: takes jobs from the shared queue and runs them in threads until it is stopped.

A worker sends a heartbeat. One that is silent for ``silence`` counts as gone: its jobs are returned to the queue and another worker takes
them. If it is alive after all, nothing is done twice, because the journal allows one run per source.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
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
from sync.queue_shared import LATER, QUEUE, SOON, TASK, SharedQueue

POLL = 1.5
"""Seconds between polls, which find jobs without a notification, such as returned ones."""
TEND = 1.5
"""Seconds between two checks for workers that are gone. ``TEND`` plus ``POLL``: how much longer than ``silence`` a lost job waits."""
SPARE = 2
"""Threads besides the workers: a reconnect needs one to look up the host's name."""


class Requeued(Exception):
    """Returns the job to the queue."""


class RequeueStrategy(BaseRetryStrategy):
    """Returns jobs that could not be done now to the queue, also after a database outage: soon at first, then later and later.

    Those of a stopping worker are always due soon.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping

    def get_retry_decision(self, *, exception: BaseException, job: JobRow) -> RetryDecision | None:
        """When to retry the job; ``None`` for never."""
        if not isinstance(exception, Requeued) and not retry.passes(exception):
            return None
        return RetryDecision(retry_in={"milliseconds": round(self.pause(job.attempts) * 1000)})

    def pause(self, attempts: int) -> float:
        """Seconds until a job is done again that was tried so often."""
        return SOON if self.stopping.is_set() else retry.growing(max(1, attempts), SOON, LATER, random.random())


class QueueWorker:
    """Works in a thread with its own event loop. While the database is unavailable it waits and reconnects.

    ``stopping`` must be set before ``stop`` is called, so that runs end between two batches.
    """

    def __init__(self, queue: SharedQueue, work: JobRunner, parallel: int, silence: timedelta, stopping: threading.Event) -> None:
        self.queue, self.work, self.parallel, self.silence, self.stopping = queue, work, parallel, silence.total_seconds(), stopping
        self.log: Any = logs.logger()
        self._doing: set[int | None] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="queue")

    def start(self) -> None:
        """Starts taking jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no more jobs; returns when running jobs have ended or were returned."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has already ended
                self._loop.call_soon_threadsafe(self._stop_requested.set)
        self._thread.join()

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.set_default_executor(ThreadPoolExecutor(self.parallel + SPARE, thread_name_prefix="work"))
            failed = 0
            while not self.stopping.is_set():
                began = time.monotonic()
                try:
                    runner.run(self._until_stop_requested())
                except Exception as error:
                    self.log.error("the queue cannot be reached", error=logs.place(error))
                    failed = 1 if time.monotonic() - began > LATER else failed + 1
                    self.stopping.wait(retry.growing(failed, SOON, min(LATER, self.silence), random.random()))

    async def _until_stop_requested(self) -> None:
        session, stop = asyncio.create_task(self._session()), asyncio.create_task(self._stop_requested.wait())
        await asyncio.wait((session, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        session.cancel()
        with suppress(asyncio.CancelledError):
            await session

    async def _session(self) -> None:
        """One session with the queue, from registering to leaving. Ends when cancelled, or raises what went wrong."""
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
        app.task(name=TASK, queue=QUEUE, pass_context=True, retry=RequeueStrategy(self.stopping))(self._do)
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
        """Does one job, in a thread."""
        job = Job(source, kind, run)
        self._doing.add(context.job.id)
        try:
            if (self.stopping.is_set() or not self.work.do(job)) and not self.queue.waits(job):
                raise Requeued
        finally:
            self._doing.discard(context.job.id)

    async def _tend(self, app: App, worker: Any) -> None:
        """Sends this worker's heartbeat, and returns jobs of workers that are gone."""
        idle_before: set[int | None] = set()
        manager, loop, beat = app.job_manager, asyncio.get_running_loop(), self.silence / 3
        checked_at = 0.0
        while True:
            await asyncio.sleep(min(TEND, beat))
            if worker.worker_id is None:
                continue
            await manager.update_heartbeat(worker.worker_id)
            if loop.time() - checked_at >= beat:
                checked_at = loop.time()
                doing = [*await manager.list_jobs_async(queue=QUEUE, status=Status.DOING.value, worker_id=worker.worker_id)]
                idle = {job.id for job in doing} - self._doing  # a lost response may have left it behind: it must be idle twice
                for job in [one for one in doing if one.id in idle & idle_before]:
                    await self._give_back(app, job)
                idle_before = idle
            for job in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=self.silence):
                if job.id not in self._doing:
                    await self._give_back(app, job)

    async def _give_back(self, app: App, job: JobRow) -> None:
        self.log.warning("job given back", source=job.task_kwargs.get("source"), kind=job.task_kwargs.get("kind"))
        try:
            await app.job_manager.retry_job(job)
        except UniqueViolation:  # the same job was queued in the meantime
            await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
        except ConnectorException:
            self.log.info("job already given back", source=job.task_kwargs.get("source"))
