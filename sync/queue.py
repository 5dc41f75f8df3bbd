"""Who does the work: a few threads of this process. One job per source waits or runs; asking again while it waits adds nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

WORKERS = 4


class Job(NamedTuple):
    """A run to be done: ``kind`` is incremental, full or resync."""

    source: str
    kind: str = "incremental"


class Queue:
    """Takes jobs and hands them to ``work`` in threads of its own, started on first use."""

    def __init__(self, work: Callable[[Job], None], workers: int = WORKERS) -> None:
        self._work, self._pool = work, ThreadPoolExecutor(workers, thread_name_prefix="work")
        self._waiting: set[Job] = set()
        self._lock, self._closing = threading.Lock(), threading.Event()

    def put(self, job: Job) -> bool:
        """Queues a job. False when the same one waits already, or the queue is closed."""
        with self._lock:
            if job in self._waiting or self._closing.is_set():
                return False
            self._waiting.add(job)
        self._pool.submit(self._take, job)
        return True

    def begun(self, work: Callable[[], None]) -> None:
        """Queues work whose run is open already. It is always called, also while closing, so that its run gets closed."""
        self._pool.submit(work)

    def close(self) -> None:
        """Forgets the jobs that wait and returns when what runs has ended."""
        self._closing.set()
        self._pool.shutdown(wait=True)

    def _take(self, job: Job) -> None:
        with self._lock:
            self._waiting.discard(job)
        if not self._closing.is_set():
            self._work(job)
