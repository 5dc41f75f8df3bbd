"""Thread pools by purpose, so that one kind of work cannot block another: pages do not delay senders, password guesses do not delay pages.

Decisions have a thread of their own (``store.web.http.request_batching``). Other calls with a key use the event loop's threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, ParamSpec, TypeVar

from store.web.http.problem import ProblemDetails

P = ParamSpec("P")
R = TypeVar("R")
BUSY_SECONDS = 2
log = logging.getLogger("emr_sync.web")


class WorkerThreads:
    """Threads for one kind of work. ``waiting``: how many calls may wait for a thread; ``None`` for no limit."""

    def __init__(self, name: str, threads: int, waiting: int | None = None) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.limit = None if waiting is None else threads + waiting
        self._in_progress = 0

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of the work. Raises :class:`ProblemDetails` 429 if too many calls wait."""
        if self.limit is not None and self._in_progress >= self.limit:
            raise ProblemDetails(
                429, "too_busy", "too many requests of this kind at once: try again in a moment", {"Retry-After": str(BUSY_SECONDS)}
            )
        self._in_progress += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: work(*args, **kwargs))
        finally:
            self._in_progress -= 1

    def later(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Runs the work in the background. A failure is logged."""
        self._executor.submit(_logged, lambda: work(*args, **kwargs))

    def wait(self) -> None:
        """Returns when all work submitted so far is done. For a lane with one thread."""
        self._executor.submit(int).result()

    def close(self) -> None:
        """Returns when the work in progress is done and the threads have ended. Work that still waits is dropped."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _logged(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:
        log.error("not written: %s", type(error).__name__)


class Lanes(NamedTuple):
    """All lanes of one service. A password check takes 64 MiB and one core for a moment, so only one runs at a time."""

    keys: WorkerThreads
    notes: WorkerThreads
    probes: WorkerThreads
    pages: WorkerThreads
    passwords: WorkerThreads
    batches: WorkerThreads
    inbound: WorkerThreads
    push: WorkerThreads

    @classmethod
    def create(cls) -> Lanes:
        """Creates all lanes."""
        return cls(
            keys=WorkerThreads("keys", 2),
            notes=WorkerThreads("notes", 1),
            probes=WorkerThreads("probes", 1),
            pages=WorkerThreads("pages", 6),
            passwords=WorkerThreads("passwords", 1, waiting=8),
            batches=WorkerThreads("batches", 3),
            inbound=WorkerThreads("inbound", 2, waiting=200),
            push=WorkerThreads("push", 1, waiting=100),
        )

    def close(self) -> None:
        """Ends all threads."""
        for lane in self:
            lane.close()
