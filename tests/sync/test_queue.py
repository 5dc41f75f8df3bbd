from __future__ import annotations

import threading

from sync.queue import Depth, Job, LocalQueue


class BlockedWork:
    """Work that blocks until the test releases it."""

    def __init__(self) -> None:
        self.began, self.go, self.done = threading.Semaphore(0), threading.Event(), []

    def do(self, job: Job) -> bool:
        self.began.release()
        assert self.go.wait(10)
        self.done.append(job)
        return True


def test_a_waiting_job_is_not_queued_twice() -> None:
    work = BlockedWork()
    queue = LocalQueue(work, workers=1)
    assert queue.put(Job("a"))
    assert work.began.acquire(timeout=60)
    assert [queue.put(Job("b")), queue.put(Job("b")), queue.put(Job("a"))] == [True, False, True]
    work.go.set()
    for _ in range(2):
        assert work.began.acquire(timeout=60)
    queue.close()
    assert work.done == [Job("a"), Job("b"), Job("a")]


def test_closing_stops_the_running_job_and_drops_waiting_jobs() -> None:
    work = BlockedWork()
    queue = LocalQueue(work, workers=1)
    queue.put(Job("a"))
    assert work.began.acquire(timeout=60)
    queue.put(Job("b"))
    closing = threading.Thread(target=queue.close)
    closing.start()
    while queue.put(Job("c")):  # until the queue is closed
        pass
    work.go.set()
    closing.join(10)
    assert work.done == [Job("a")]


def test_the_depth_counts_waiting_and_running_jobs() -> None:
    work = BlockedWork()
    queue = LocalQueue(work, workers=1)
    queue.put(Job("a"))
    assert work.began.acquire(timeout=60)
    queue.put(Job("b"))
    assert queue.depth() == Depth(waiting=1, running=1)
    work.go.set()
    queue.close()
    assert queue.depth() == Depth(0, 0)
