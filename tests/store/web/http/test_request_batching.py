"""Concurrent requests are answered together; a bad one does not fail the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from store.db.outage import GONE, Unavailable, fails_all
from store.web.http.request_batching import MOST, RequestBatcher


def test_requests_received_while_a_group_is_answered_form_the_next_group() -> None:
    groups: list[list[int]] = []
    go_on = threading.Event()

    def answer(questions: Sequence[int]) -> list[int]:
        groups.append(list(questions))
        go_on.wait(5)
        return [question * 10 for question in questions]

    async def ask_all() -> list[int]:
        batcher: RequestBatcher[int, int] = RequestBatcher(answer)
        first = asyncio.create_task(batcher.ask(1))
        while not groups:
            await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.ask(number)) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        go_on.set()
        answers = list(await asyncio.gather(first, *others))
        batcher.close()
        return answers

    assert asyncio.run(ask_all()) == [10, 20, 30, 40]
    assert groups == [[1], [2, 3, 4]]


def test_one_bad_request_does_not_fail_the_others() -> None:
    def answer(questions: Sequence[int]) -> list[int]:
        if 3 in questions:
            raise ValueError("three")
        return list(questions)

    async def ask_all() -> list[int | BaseException]:
        batcher: RequestBatcher[int, int] = RequestBatcher(answer)
        answers = await asyncio.gather(*(batcher.ask(number) for number in range(6)), return_exceptions=True)
        batcher.close()
        return answers

    answers = asyncio.run(ask_all())
    assert [one for one in answers if not isinstance(one, BaseException)] == [0, 1, 2, 4, 5]
    assert isinstance(answers[3], ValueError)


def test_a_lost_database_is_asked_once_for_a_group_and_not_again_for_each_of_its_requests() -> None:
    asked: list[int] = []

    def answer(questions: Sequence[int]) -> list[int]:
        asked.append(len(questions))
        raise Unavailable(GONE)

    async def ask_all() -> list[int | BaseException]:
        batcher: RequestBatcher[int, int] = RequestBatcher(answer, fails_all)
        answers = await asyncio.gather(*(batcher.ask(number) for number in range(6)), return_exceptions=True)
        batcher.close()
        return answers

    assert [str(one) for one in asyncio.run(ask_all())] == [GONE] * 6
    assert asked == [6]


def test_groups_are_limited_in_size_and_a_disconnected_caller_is_ignored() -> None:
    sizes: list[int] = []

    def answer(questions: Sequence[int]) -> list[int]:
        sizes.append(len(questions))
        return list(questions)

    async def ask_all() -> list[int]:
        batcher: RequestBatcher[int, int] = RequestBatcher(answer)
        tasks = [asyncio.create_task(batcher.ask(number)) for number in range(2 * MOST + 5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        answers = [await task for task in tasks[1:]]
        batcher.close()
        return answers

    assert asyncio.run(ask_all()) == list(range(1, 2 * MOST + 5))
    assert max(sizes) <= MOST
