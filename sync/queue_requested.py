"""The queue on SQLite: runs that people request go through the journal, so that another process can do them; schedules stay in memory.

A process with the role work looks for requests a few times a second (``RequestTaker``). One that only answers senders adds them
(``RequestQueue``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

from store.runs.queued_runs import QueuedRuns
from store.runs.requested_runs import Request, RequestedRuns
from store.runs.runs import Run
from sync.housekeeping import Housekeeping
from sync.queue import Depth, Job, LocalQueue
from sync.runtime import Runtime
from sync.worker import Worker

EVERY = 0.2
"""Seconds between two looks for requests."""
UNDONE_EVERY = 2.0
"""Seconds between two looks for requests whose runs were stopped, or whose process died."""
LATER = 30.0
"""Seconds until a job that could not be done is tried again."""


class RequestQueue:
    """Adds requests for another process, or for the local queue of this one.

    ``beside`` gives the jobs of the process that does them, and the age of the oldest.
    """

    def __init__(self, worker: Worker, beside: Callable[[], tuple[Depth, float]]) -> None:
        self.worker, self.beside = worker, beside
        self.requests = RequestedRuns(worker.queued)

    def put(self, job: Job) -> NoReturn:
        """Nothing that queues jobs of its own accord runs without a worker beside it."""
        raise RuntimeError("on SQLite only a process with the role work queues jobs without a request")

    def request(self, job: Job) -> Run:
        """Records a run that a person requested. Raises ``RunActive`` or ``UsageError``."""
        return self.requests.add(*self.worker.lane(job), job.kind, self.worker.runtime.clock())

    def depth(self) -> Depth:
        """The numbers of jobs: requests that wait, and what the process beside this one has."""
        waiting, running = self.beside()[0]
        return Depth(max(waiting, len(self.requests.waiting())), running)

    def oldest(self) -> float:
        """Seconds that the oldest waiting job has waited."""
        now, waiting = self.worker.runtime.clock(), self.requests.waiting()
        return max([self.beside()[1], *((now - one.started).total_seconds() for one in waiting)])

    def close(self) -> None:
        """Does nothing: requests are for other processes."""


class WorkerQueue(LocalQueue):
    """The queue of a process that does runs itself."""

    def __init__(self, worker: Worker, workers: int) -> None:
        super().__init__(worker, workers)
        self._requests = RequestQueue(worker, lambda: (Depth(0, 0), 0.0))

    def request(self, job: Job) -> Run:
        """Records the run; the role takes it at once."""
        return self._requests.request(job)


class RequestTaker:
    """A role of a process that does runs: puts requests of any process into its queue."""

    def __init__(self, runtime: Runtime, queue: LocalQueue) -> None:
        self.runtime, self.queue, self.requests = runtime, queue, RequestedRuns(QueuedRuns(runtime.journal))
        self._put: dict[str, float] = {}
        self._roles = (
            Housekeeping({"requested runs taken": self._take}, EVERY),
            Housekeeping({"requested runs taken again": self._take_again}, UNDONE_EVERY),
        )

    def start(self) -> None:
        """Looks now and then periodically."""
        for role in self._roles:
            role.start()

    def stop(self) -> None:
        """Stops; requests wait for the next process."""
        for role in self._roles:
            role.stop()

    def _take(self) -> int:
        return sum(self._enqueue(one) for one in self.requests.waiting())

    def _take_again(self) -> int:
        return sum(self._enqueue(one) for one in self.requests.left_undone(self.runtime.clock()))

    def _enqueue(self, one: Request) -> int:
        now, last = time.monotonic(), self._put.get(one.run, float("-inf"))
        if now - last < LATER:
            return 0
        self._put[one.run] = now
        self.queue.put(Job(one.source, one.kind, one.run))
        return 0  # the run is logged when it ends
