"""The scheduler: queues jobs at the configured times. Several may run; each due job is queued once.

Only this file imports APScheduler, which checks every second. The times themselves are in the database, so that they survive restarts.

One scheduler at a time queues a due job and stores its next time in one transaction. If it dies in between, another queues the job
again: twice is harmless, never is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from store.runs.runs import RunKind
from store.runs.schedule_times import Due, Key, ScheduleTimes
from sync import logs
from sync.config.settings import ConfiguredSource
from sync.due import Timetable
from sync.queue import Job

CHECK = "look"
EVERY = 1.0
"""Seconds between two checks. A job may be queued that late, and a clock change is noticed that late."""
LOST_AFTER = 60.0
"""Seconds until a requested run should have started; otherwise it is requested again."""
Enqueue = Callable[[Job], object]
Lost = Callable[[Job, datetime], bool]
"""Whether a job requested at that time was lost."""


def nothing_is_lost(job: Job, asked: datetime) -> bool:
    """For a queue that keeps jobs until they are done."""
    return False


class MonotonicScheduler(BackgroundScheduler):  # type: ignore[misc]  # the library has no types
    """Wakes at least every :data:`EVERY` seconds of the monotonic clock, so that setting the wall clock back does not delay jobs."""

    def _process_jobs(self) -> float:
        soonest = datetime.now(UTC) + timedelta(seconds=EVERY)
        for job in self.get_jobs():
            if job.next_run_time > soonest:
                job.modify(next_run_time=datetime.now(UTC))
        wait = super()._process_jobs()
        return EVERY if wait is None else min(float(wait), EVERY)


class Clock:
    """The schedules of all sources."""

    def __init__(
        self,
        feeds: Iterable[ConfiguredSource],
        enqueue: Enqueue,
        times: ScheduleTimes,
        now: Callable[[], datetime],
        lost: Lost = nothing_is_lost,
    ) -> None:
        self.timetables: Mapping[Key, Timetable] = {}
        self.reload(feeds)
        self.enqueue, self.times, self.now, self.lost = enqueue, times, now, lost
        self.log: Any = logs.logger()
        self._checked: dict[Key, datetime] = {}
        self._scheduler = MonotonicScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None})

    def reload(self, feeds: Iterable[ConfiguredSource]) -> None:
        """Uses the schedules of these sources from the next check on."""
        self.timetables = {(job.source, job.kind): table for feed in feeds for job, table in _timetables(feed)}

    def start(self) -> None:
        """Starts. Sources with an interval are read at once the first time."""
        self._scheduler.add_job(self._check, IntervalTrigger(seconds=EVERY, timezone=UTC), id=CHECK, next_run_time=datetime.now(UTC))
        self._scheduler.start()

    def stop(self) -> None:
        """Stops, after the check in progress."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def tick(self) -> None:
        """Queues what is due."""
        now, stored, tables = self.now(), self.times.read(), self.timetables
        due_times = _current(tables, stored, now)
        if any(stored.get(key) != one or one.due <= now for key, one in due_times.items()):
            due_times = self._turn(tables, now)
        self._enqueue_lost(due_times, now)

    def _turn(self, tables: Mapping[Key, Timetable], now: datetime) -> dict[Key, Due]:
        with self.times.turn() as (transaction, stored):
            due_times = _current(tables, stored, now)
            for key, one in due_times.items():
                if one.due <= now:
                    self.enqueue(Job(*key))
                    due_times[key] = tables[key].next_after_request(one, now, random.random())
            self.times.keep(transaction, {key: one for key, one in due_times.items() if stored.get(key) != one})
        return due_times

    def _enqueue_lost(self, due_times: Mapping[Key, Due], now: datetime) -> None:
        """Queues again what a queue inside the process lost: its process ended, or another run was in progress."""
        for key, one in due_times.items():
            last = max(one.asked or now, self._checked.get(key, one.asked or now))
            if one.asked is None or (now - last).total_seconds() <= LOST_AFTER:
                continue
            self._checked[key] = now
            if self.lost(Job(*key), one.asked):
                self.enqueue(Job(*key))

    def _check(self) -> None:
        try:
            self.tick()
        except Exception as error:
            self.log.error("schedule check failed", error=logs.place(error))


def _current(tables: Mapping[Key, Timetable], stored: Mapping[Key, Due], now: datetime) -> dict[Key, Due]:
    return {key: table.current(stored.get(key), now) for key, table in tables.items()}


def _timetables(feed: ConfiguredSource) -> Iterator[tuple[Job, Timetable]]:
    if feed.schedule is not None:
        yield Job(feed.name, RunKind.INCREMENTAL), Timetable(feed.schedule, at_once=True)
    if feed.full_resync is not None:
        yield Job(feed.name, RunKind.FULL), Timetable(feed.full_resync)
