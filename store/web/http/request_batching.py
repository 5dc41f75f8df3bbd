"""Batches requests: those that arrive while a group is being answered form the next group, with one database read for all.

There is no timer. A single request is a group of one; under load a group costs little more than a single request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
MOST = 256


class RequestBatcher(Generic[Q, A]):
    """Answers questions in groups, in a thread of its own. ``answer_many`` returns the answers in the order of the questions."""

    def __init__(self, answer_many: Callable[[Sequence[Q]], Sequence[A]]) -> None:
        self.answer_many = answer_many
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="decisions")
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The answer to one question. Raises the error of answering it."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    def close(self) -> None:
        """Ends the thread."""
        self._executor.shutdown(wait=True)

    async def _work(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._answer(group)
        finally:
            self._worker = None

    async def _answer(self, group: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._in_thread([question for question, _ in group])
        except Exception as error:
            await self._one_by_one(group, error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():  # its caller may have gone away
                future.set_result(answer)

    async def _one_by_one(self, group: list[tuple[Q, asyncio.Future[A]]], error: Exception) -> None:
        """Answers each question of a failed group alone, so that one does not fail the others."""
        for question, future in group:
            if len(group) > 1:
                await self._answer([(question, future)])
            elif not future.done():
                future.set_exception(error)

    async def _in_thread(self, questions: Sequence[Q]) -> Sequence[A]:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.answer_many, questions)
