from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from adapters.base import SourceSettings
from store.journal import RUNNING, Run
from sync.config import Feed, Schedule
from sync.queue import Depth, Job, LocalQueue
from sync.schedule import Clock
from tests.factories import NOW

FEED = Feed("emr", "clinic", SourceSettings("emr", "fhir.rest"), Schedule(every=timedelta(hours=1)), Schedule(every=timedelta(days=7)))


class Held:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.began, self.go, self.done = threading.Semaphore(0), threading.Event(), []

    def do(self, job: Job) -> bool:
        self.began.release()
        assert self.go.wait(10)
        self.done.append(job)
        return True

    def begin(self, job: Job) -> Run:
        return Run("run_1", job.source, "clinic", job.kind, RUNNING, NOW)

    def work(self, run: Run, job: Job) -> bool:
        return self.do(job)


def test_a_job_that_waits_is_not_queued_twice() -> None:
    work = Held()
    queue = LocalQueue(work, workers=1)
    assert queue.put(Job("a"))
    assert work.began.acquire(timeout=60)
    assert [queue.put(Job("b")), queue.put(Job("b")), queue.put(Job("a"))] == [True, False, True]
    work.go.set()
    for _ in range(2):
        assert work.began.acquire(timeout=60)
    queue.close()
    assert work.done == [Job("a"), Job("b"), Job("a")]


def test_closing_ends_what_runs_and_forgets_what_waits() -> None:
    work = Held()
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


def test_a_run_that_was_begun_is_closed_even_while_closing() -> None:
    work = Held()
    queue = LocalQueue(work, workers=1)
    queue.put(Job("a"))
    assert work.began.acquire(timeout=60)
    assert queue.request(Job("b", "resync")).id == "run_1"
    work.go.set()
    queue.close()
    assert work.done == [Job("a"), Job("b", "resync", "run_1")]


def test_the_depth_is_what_waits_and_what_is_done_now() -> None:
    work = Held()
    queue = LocalQueue(work, workers=1)
    queue.put(Job("a"))
    assert work.began.acquire(timeout=60)
    queue.put(Job("b"))
    assert queue.depth() == Depth(waiting=1, running=1)
    work.go.set()
    queue.close()
    assert queue.depth() == Depth(0, 0)


def test_times_that_passed_while_nobody_ticked_are_made_up_for_once() -> None:
    """A process that slept for a day must not read the EMR a thousand times."""
    asked: list[Job] = []
    clock = Clock([FEED], asked.append, datetime.now(UTC) - timedelta(days=2))
    clock.start()
    time.sleep(1.5)
    due = clock.next_times()[Job("emr", "incremental")]
    clock.stop()
    assert asked == [Job("emr", "incremental")]
    assert due > datetime.now(UTC)


def test_a_source_read_every_so_often_is_read_at_once_and_its_full_resync_is_not() -> None:
    asked: list[Job] = []
    first = threading.Event()

    def ask(job: Job) -> None:
        asked.append(job)
        first.set()

    clock = Clock([FEED], ask)
    clock.start()
    assert first.wait(10)
    assert clock.next_times().keys() == {Job("emr", "incremental"), Job("emr", "full")}
    clock.stop()
    assert asked == [Job("emr", "incremental")]
