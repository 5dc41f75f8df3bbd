"""Threads by what they are for, so that none of it can take those of another: pages cannot keep senders waiting, nor guesses of passwords
people.

Decisions have a thread of their own beside these (``store.web.http.request_batching``), and calls with a key those of the event loop.
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
    """``threads`` that do one kind of work. ``waiting``: so many calls may wait for one of them; ``None`` is without limit."""

    def __init__(self, name: str, threads: int, waiting: int | None = None) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.most = None if waiting is None else threads + waiting
        self._here = 0

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What the work gives. Raises :class:`ProblemDetails` 429 where too many wait."""
        if self.most is not None and self._here >= self.most:
            raise ProblemDetails(
                429, "too_busy", "too many requests of this kind at once: try again in a moment", {"Retry-After": str(BUSY_SECONDS)}
            )
        self._here += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: work(*args, **kwargs))
        finally:
            self._here -= 1

    def later(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Has it done; nobody waits for it. Where it fails the log says so."""
        self._executor.submit(_logged, lambda: work(*args, **kwargs))

    def settled(self) -> None:
        """Returns when what was asked for until now is done. For a lane of one thread."""
        self._executor.submit(int).result()

    def close(self) -> None:
        """Ends the threads; what waits for one is not done."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _logged(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:
        log.error("not written: %s", type(error).__name__)


class Lanes(NamedTuple):
    """All lanes of one service. A password's check takes 64 MiB and one core for a moment, so they are made one at a time."""

    keys: WorkerThreads
    notes: WorkerThreads
    probes: WorkerThreads
    pages: WorkerThreads
    passwords: WorkerThreads
    batches: WorkerThreads

    @classmethod
    def made(cls) -> Lanes:
        """New ones."""
        return cls(
            keys=WorkerThreads("keys", 2),
            notes=WorkerThreads("notes", 1),
            probes=WorkerThreads("probes", 1),
            pages=WorkerThreads("pages", 6),
            passwords=WorkerThreads("passwords", 1, waiting=8),
            batches=WorkerThreads("batches", 3),
        )

    def close(self) -> None:
        """Ends all threads."""
        for lane in self:
            lane.close()
