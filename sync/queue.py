"""The queue inside a process: a few threads do the work. ``queue_shared`` is the queue of worker machines over one PostgreSQL.

One job per source and kind waits or runs; queueing it again while it waits adds nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from store.runs.runs import Run, RunKind


class Job(NamedTuple):
    """A run to be done: ``kind`` is incremental, full or resync; ``run`` names one that is in the journal already.

    Jobs are kept, shown and logged, so they name a source and never a patient. Who wants one patient read does it at once,
    in their own process (``emr-sync resync --patient``).
    """

    source: str
    kind: str = RunKind.INCREMENTAL
    run: str = ""


class Depth(NamedTuple):
    """How many jobs wait, and how many are being done."""

    waiting: int
    running: int


class JobRunner(Protocol):
    """Does jobs (``sync.worker.Worker``)."""

    def do(self, job: Job) -> bool:
        """One job from beginning to end. False when it could not be done now and is to be asked for again."""

    def begin(self, job: Job) -> Run:
        """Opens the job's run. Raises ``RunActive`` or ``Unusable``."""

    def work(self, run: Run, job: Job) -> bool:
        """Does the work of a run that was begun. False as for ``do``."""


class Queue(Protocol):
    """Takes jobs. Thread-safe."""

    def put(self, job: Job) -> bool:
        """Queues a job. False when the same one waits already, or the queue is closed."""

    def request(self, job: Job) -> Run:
        """Queues a job that somebody waits for; its run, to be followed in the journal. Raises ``RunActive`` or ``Unusable``."""

    def depth(self) -> Depth:
        """How much there is to do."""

    def close(self) -> None:
        """Takes nothing more; returns when what this process works on has ended."""


class LocalQueue:
    """Hands jobs to threads of its own, started on first use. What waits is forgotten at the end of the process."""

    def __init__(self, work: JobRunner, workers: int) -> None:
        self._work, self._pool = work, ThreadPoolExecutor(workers, thread_name_prefix="work")
        self._waiting: set[Job] = set()
        self._running = 0
        self._lock, self._closing = threading.Lock(), threading.Event()

    def put(self, job: Job) -> bool:
        """Queues a job (:meth:`Queue.put`)."""
        with self._lock:
            if job in self._waiting or self._closing.is_set():
                return False
            self._waiting.add(job)
        self._pool.submit(self._take, job, lambda: self._closing.is_set() or self._work.do(job))
        return True

    def request(self, job: Job) -> Run:
        """Begins the run at once. Its work is always called, also while closing, so that the run gets closed."""
        run = self._work.begin(job)
        job = job._replace(run=run.id)
        with self._lock:
            self._waiting.add(job)
        self._pool.submit(self._take, job, lambda: self._work.work(run, job))
        return run

    def depth(self) -> Depth:
        """How much there is to do in this process."""
        with self._lock:
            return Depth(len(self._waiting), self._running)

    def close(self) -> None:
        """Forgets the jobs that wait and returns when what runs has ended."""
        self._closing.set()
        self._pool.shutdown(wait=True)

    def _take(self, job: Job, work: Callable[[], object]) -> None:
        with self._lock:
            self._waiting.discard(job)
            self._running += 1
        try:
            work()
        finally:
            with self._lock:
                self._running -= 1
