"""The queue inside a process, with a few worker threads. ``queue_shared`` is the queue of several machines over PostgreSQL.

A job that already waits is not queued again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from store.runs.runs import Run, RunKind


class Job(NamedTuple):
    """A run to do. ``kind`` is incremental, full or resync; ``run`` is the id of a run that is already in the journal.

    Jobs are stored, shown and logged, so they name a source and never a patient. Reading one patient is done at once, in the caller's
    process (``emr-sync resync --patient``).
    """

    source: str
    kind: str = RunKind.INCREMENTAL
    run: str = ""


class Depth(NamedTuple):
    """The numbers of waiting and running jobs."""

    waiting: int
    running: int


class JobRunner(Protocol):
    """Does jobs (``sync.worker.Worker``)."""

    def do(self, job: Job) -> bool:
        """Does a job from start to end. ``False`` if it could not be done now and must be queued again."""


class Queue(Protocol):
    """Takes jobs. Thread-safe."""

    def put(self, job: Job) -> bool:
        """Queues a job. ``False`` if the same job already waits, or the queue is closed."""

    def request(self, job: Job) -> Run:
        """Queues a job that a person requested and returns its run. Raises ``RunActive`` or ``UsageError``."""

    def depth(self) -> Depth:
        """The numbers of jobs."""

    def oldest(self) -> float:
        """Seconds that the oldest waiting job has waited; 0 without one."""

    def close(self) -> None:
        """Takes no more jobs; returns when this process's running jobs have ended."""


class LocalQueue:
    """Runs jobs in its own threads, which start on first use. Waiting jobs are lost when the process ends (but see ``queue_requested``)."""

    def __init__(self, work: JobRunner, workers: int) -> None:
        self._work, self._pool = work, ThreadPoolExecutor(workers, thread_name_prefix="work")
        self._waiting: dict[Job, float] = {}
        self._running = 0
        self._lock, self._closing = threading.Lock(), threading.Event()

    def put(self, job: Job) -> bool:
        """Queues a job (:meth:`Queue.put`)."""
        with self._lock:
            if job in self._waiting or self._closing.is_set():
                return False
            self._waiting[job] = time.monotonic()
        self._pool.submit(self._take, job, lambda: self._closing.is_set() or self._work.do(job))
        return True

    def depth(self) -> Depth:
        """The numbers of jobs in this process."""
        with self._lock:
            return Depth(len(self._waiting), self._running)

    def oldest(self) -> float:
        """Seconds that the oldest job of this process has waited."""
        with self._lock:
            return time.monotonic() - min(self._waiting.values()) if self._waiting else 0.0

    def close(self) -> None:
        """Drops waiting jobs; returns when running ones have ended."""
        self._closing.set()
        self._pool.shutdown(wait=True)

    def _take(self, job: Job, work: Callable[[], object]) -> None:
        with self._lock:
            self._waiting.pop(job, None)
            self._running += 1
        try:
            work()
        finally:
            with self._lock:
                self._running -= 1
