"""Which jobs a worker machine returns: those of lost machines and its own orphaned ones, never one in progress."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sync.queue_worker import QueueWorker

ME = 1
CHECKS = 4


class Rows:
    """The queue's rows as this worker sees them, check by check. Records which job was returned at which check."""

    def __init__(self, *, own: dict[int, set[int]], stalled: set[int] | None = None) -> None:
        self.own, self.stalled = own, stalled or set()
        self.check, self.beats, self.ended = 0, 0, asyncio.Event()
        self.returned: list[tuple[int, int]] = []
        self.job_manager = self

    async def update_heartbeat(self, worker: int) -> None:
        assert worker == ME
        self.beats += 1

    async def get_stalled_jobs(self, *, queue: str, seconds_since_heartbeat: float) -> list[Any]:
        return [_row(number) for number in sorted(self.stalled)]

    async def list_jobs_async(self, *, queue: str, status: str, worker_id: int) -> list[Any]:
        assert worker_id == ME
        self.check += 1
        if self.check > CHECKS:
            self.ended.set()
            return []
        return [_row(number) for number, checks in sorted(self.own.items()) if self.check in checks]

    async def retry_job(self, job: Any) -> None:
        if self.check <= CHECKS:
            self.returned.append((self.check, job.id))


def _row(number: int) -> Any:
    return SimpleNamespace(id=number, task_kwargs={"source": "a", "kind": "incremental"})


def returned_jobs(rows: Rows, doing: set[int]) -> list[tuple[int, int]]:
    """The jobs returned in some checks, each as (check, job)."""

    async def finish_checks() -> None:
        role = QueueWorker(cast(Any, None), cast(Any, None), 1, timedelta(seconds=0.03), threading.Event())
        role._doing |= doing
        tending = asyncio.create_task(role._tend(cast(Any, rows), SimpleNamespace(worker_id=ME)))
        await asyncio.wait((asyncio.create_task(rows.ended.wait()), tending), timeout=30, return_when=asyncio.FIRST_COMPLETED)
        tending.cancel()

    asyncio.run(finish_checks())
    assert rows.beats >= CHECKS
    return rows.returned


EVERY = set(range(1, CHECKS + 1))


def test_a_job_in_progress_here_is_never_returned() -> None:
    """Also if the queue considers this machine lost after a long database outage."""
    assert returned_jobs(Rows(own={7: EVERY}, stalled={7}), doing={7}) == []


def test_the_jobs_of_a_lost_machine_are_returned_at_once() -> None:
    assert returned_jobs(Rows(own={7: EVERY}, stalled={7, 8}), doing={7})[0] == (1, 8)


@pytest.mark.parametrize("checks", [{1}, {2}, {1, 3}, {2, 4}])
def test_a_job_just_fetched_is_not_returned(checks: set[int]) -> None:
    """The thread starts shortly after the row is written, and the row is removed shortly after the thread ends."""
    assert returned_jobs(Rows(own={7: checks}), doing=set()) == []


def test_a_job_idle_in_two_consecutive_checks_is_returned() -> None:
    assert returned_jobs(Rows(own={7: {2, 3}, 8: {1, 4}, 9: EVERY}), doing={9}) == [(3, 7)]
