"""Batches requests: those that arrive while a group is being answered form the next group, with one database read for all.

There is no timer. A single request is a group of one; under load a group costs little more than a single request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
MOST = 256


def _nothing() -> None:
    pass


def _never(_error: Exception) -> bool:
    return False


class RequestBatcher(Generic[Q, A]):
    """Answers questions in groups, in a thread of its own. ``answer_many`` returns the answers in the order of the questions.

    ``fails_all``: whether an error would be that of every question, like a lost database; otherwise each is asked again by itself.
    ``on_close`` is called in that thread at the end.
    """

    def __init__(
        self,
        answer_many: Callable[[Sequence[Q]], Sequence[A]],
        fails_all: Callable[[Exception], bool] = _never,
        on_close: Callable[[], None] = _nothing,
    ) -> None:
        self.answer_many, self.fails_all, self.on_close = answer_many, fails_all, on_close
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="decisions")
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._busy = False

    async def ask(self, question: Q) -> A:
        """The answer to one question. Raises the error of answering it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next, loop)  # not now: whatever arrived at the same time joins the group
        return await future

    def close(self) -> None:
        """Ends the thread."""
        self._executor.submit(self.on_close)
        self._executor.shutdown(wait=True)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hands the next group to the thread, if any question waits."""
        waiting = [one for one in self._waiting if not one[1].done()]  # without callers who went away
        group, self._waiting = waiting[:MOST], waiting[MOST:]
        self._busy = bool(group)
        if group:
            self._executor.submit(self._answer, loop, group)

    def _answer(self, loop: asyncio.AbstractEventLoop, group: list[tuple[Q, asyncio.Future[A]]]) -> None:
        """In the thread: answers the group, and calls the loop back once: cheaper than asyncio's own way."""
        outcomes = self._outcomes([question for question, _ in group])
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(self._deliver, loop, group, outcomes)

    def _outcomes(self, questions: Sequence[Q]) -> Sequence[A | Exception]:
        try:
            return self.answer_many(questions)
        except Exception as error:
            if len(questions) == 1 or self.fails_all(error):
                return [error] * len(questions)
            return [self._outcomes([question])[0] for question in questions]  # so that one does not fail the others

    def _deliver(
        self, loop: asyncio.AbstractEventLoop, group: list[tuple[Q, asyncio.Future[A]]], outcomes: Sequence[A | Exception]
    ) -> None:
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if future.done():
                continue  # its caller has gone away
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        self._next(loop)
