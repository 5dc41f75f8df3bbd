"""Schedulers over one database: every run is requested once, across restarts, crashes and any number of schedulers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from adapters.base import SourceSettings
from store.db.database import Database
from store.runs.interrupted_runs import InterruptedRuns, pause_after
from store.runs.runs import Journal, RunStatus
from store.runs.schedule_times import ScheduleTimes
from sync.config import ConfiguredSource, Schedule
from sync.queue import Job
from sync.schedule import CHECK, EVERY, LOST_AFTER, Clock, Lost, nothing_is_lost
from tests.factories import NOW

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
FEED = ConfiguredSource("emr", "clinic", SourceSettings("emr", "fhir.rest"), Schedule(every=HOUR), Schedule(every=WEEK))
INCREMENTAL, FULL = Job("emr", "incremental"), Job("emr", "full")
ELSEWHERE = "another-machine:1"


class Scheduling:
    """One scheduling process, and the runs that it requested."""

    def __init__(self, database: Database, now: datetime = NOW, lost: Lost = nothing_is_lost) -> None:
        self.now, self.requested = now, list[Job]()
        self.clock = Clock([FEED], self.requested.append, ScheduleTimes(database), lambda: self.now, lost)

    def at(self, now: datetime) -> list[Job]:
        """The runs that it requests at that time."""
        self.now = now
        self.requested.clear()
        self.clock.tick()
        return list(self.requested)


def test_a_full_resync_is_requested_despite_frequent_restarts(database: Database) -> None:
    requested = [(day, job) for day in range(22) for job in Scheduling(database).at(NOW + day * DAY)]
    assert [day for day, job in requested if job == FULL] == [7, 14, 21]
    assert len([day for day, job in requested if job == INCREMENTAL]) == 22


def test_only_one_of_several_schedulers_requests_a_run(database: Database) -> None:
    first, second = Scheduling(database), Scheduling(database)
    assert first.at(NOW) == [INCREMENTAL]
    assert second.at(NOW) == []
    assert (second.at(NOW + HOUR), first.at(NOW + HOUR)) == ([INCREMENTAL], [])


def test_concurrent_schedulers_request_a_run_once(database: Database) -> None:
    several, together = [Scheduling(database) for _ in range(4)], threading.Barrier(4)

    def tick(one: Scheduling) -> None:
        together.wait()
        one.at(NOW)

    threads = [threading.Thread(target=tick, args=[one]) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [job for one in several for job in one.requested] == [INCREMENTAL]


def test_a_failed_run_request_is_retried(database: Database) -> None:
    failing = Scheduling(database)

    def fail(job: Job) -> None:
        raise ConnectionError("away")

    failing.clock.enqueue = fail
    with pytest.raises(ConnectionError):
        failing.at(NOW)
    assert Scheduling(database).at(NOW) == [INCREMENTAL]


def test_the_scheduler_thread_ticks_until_stopped(database: Database) -> None:
    requested = threading.Event()
    clock = Clock([FEED], lambda job: requested.set(), ScheduleTimes(database), lambda: NOW)
    clock.start()
    assert requested.wait(30)
    clock.stop()


def test_the_scheduler_continues_when_the_clock_is_set_back(database: Database) -> None:
    looked, clock = threading.Semaphore(0), Clock([], print, ScheduleTimes(database), lambda: NOW)
    clock.tick = looked.release  # type: ignore[method-assign]
    clock.start()
    assert looked.acquire(timeout=30)
    clock._scheduler.modify_job(CHECK, next_run_time=datetime.now(UTC) + timedelta(hours=2))  # the state after the clock was set back
    assert all(looked.acquire(timeout=30 * EVERY) for _ in range(2))
    clock.stop()


@pytest.mark.parametrize(
    ("ends", "again"),
    [("nothing", True), ("dies", True), (RunStatus.STOPPED, True), (RunStatus.DONE, False), (RunStatus.FAILED, False), ("goes on", False)],
)
def test_a_run_lost_by_the_in_process_queue_is_requested_again(database: Database, ends: str, again: bool) -> None:
    journal = Journal(database)
    interrupted = InterruptedRuns(journal)

    def lost(job: Job, requested: datetime) -> bool:
        return interrupted.came_to_nothing(job.source, "clinic", job.kind, requested, one.now)

    one = Scheduling(database, lost=lost)
    assert one.at(NOW) == [INCREMENTAL]
    later = NOW + timedelta(seconds=LOST_AFTER + 1)
    if ends != "nothing":
        worker = Journal(database)
        worker.owner = ELSEWHERE if ends == "dies" else worker.owner
        run = worker.start("emr", "clinic", "incremental", now=NOW + timedelta(seconds=1))
        if ends in (RunStatus.DONE, RunStatus.FAILED, RunStatus.STOPPED):
            worker.finish(run, ends, None, later)
    if ends == "dies":
        later += journal.lease
    assert one.at(later) == [INCREMENTAL] * again


def test_runs_that_die_are_restarted_with_increasing_delays(database: Database) -> None:
    journal, now = Journal(database), NOW
    interrupted, pauses = InterruptedRuns(journal), []
    for _ in range(5):
        dying = Journal(database)
        dying.owner = ELSEWHERE
        dying.start("emr", "clinic", "incremental", now=now)
        now += journal.lease + timedelta(seconds=1)
        pauses.append(interrupted.pause("emr", "clinic", now).total_seconds() / 60)
    assert pauses == [0, 1, 2, 4, 8]
    assert interrupted.pause("emr", "clinic", now + 8 * timedelta(minutes=1)) == timedelta(0)
    journal.finish(journal.start("emr", "clinic", "incremental", now=now), RunStatus.DONE, None, now)
    assert interrupted.pause("emr", "clinic", now) == timedelta(0)


def test_a_repeatedly_failing_source_is_retried_at_least_hourly() -> None:
    assert [pause_after(deaths) for deaths in (0, 1, 2, 50)] == [timedelta(0), timedelta(0), timedelta(minutes=1), HOUR]
