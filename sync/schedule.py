"""The scheduler: queues jobs at the configured times. Several may run; each due job is queued once.

The only importer of APScheduler, which looks every few seconds. The times themselves are in the database, so that they survive restarts.

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

LOOK = "look"
EVERY = 1.0
"""Seconds between two looks: how late something may be asked for, or a clock that was set is noticed."""
LOST_AFTER = 60.0
"""Seconds until what was asked for should have begun, or is asked for again."""
Ask = Callable[[Job], object]
Lost = Callable[[Job, datetime], bool]
"""Whether what was asked for then came to nothing, and nobody else has it."""


def nothing_is_lost(job: Job, asked: datetime) -> bool:
    """Where the queue keeps what was asked for until it is done."""
    return False


class Looks(BackgroundScheduler):  # type: ignore[misc]  # the library comes without types
    """Wakes after :data:`EVERY` seconds at most, by the monotonic clock: a wall clock that was set back would keep its jobs waiting."""

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
        self, feeds: Iterable[ConfiguredSource], ask: Ask, times: ScheduleTimes, now: Callable[[], datetime], lost: Lost = nothing_is_lost
    ) -> None:
        self.timetables = {(job.source, job.kind): table for feed in feeds for job, table in _timetables(feed)}
        self.ask, self.times, self.now, self.lost = ask, times, now, lost
        self.log: Any = logs.logger()
        self._looked: dict[Key, datetime] = {}
        self._scheduler = Looks(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None})

    def start(self) -> None:
        """Starts ticking. Sources that are read every so often are read at once, the first time."""
        self._scheduler.add_job(self._look, IntervalTrigger(seconds=EVERY, timezone=UTC), id=LOOK, next_run_time=datetime.now(UTC))
        self._scheduler.start()

    def stop(self) -> None:
        """No further ticks; one under way comes to its end."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def tick(self) -> None:
        """Asks for what is due."""
        now, kept = self.now(), self.times.read()
        standing = self._standing(kept, now)
        if any(kept.get(key) != one or one.due <= now for key, one in standing.items()):
            standing = self._turn(now)
        self._ask_again(standing, now)

    def _turn(self, now: datetime) -> dict[Key, Due]:
        with self.times.turn() as (transaction, kept):
            standing = self._standing(kept, now)
            for key, one in standing.items():
                if one.due <= now:
                    self.ask(Job(*key))
                    standing[key] = self.timetables[key].asked(one, now, random.random())
            self.times.keep(transaction, {key: one for key, one in standing.items() if kept.get(key) != one})
        return standing

    def _ask_again(self, standing: Mapping[Key, Due], now: datetime) -> None:
        """What a queue inside the process forgot: it ended, or another run was in the way."""
        for key, one in standing.items():
            looked = max(one.asked or now, self._looked.get(key, one.asked or now))
            if one.asked is None or (now - looked).total_seconds() <= LOST_AFTER:
                continue
            self._looked[key] = now
            if self.lost(Job(*key), one.asked):
                self.ask(Job(*key))

    def _standing(self, kept: Mapping[Key, Due], now: datetime) -> dict[Key, Due]:
        return {key: table.standing(kept.get(key), now) for key, table in self.timetables.items()}

    def _look(self) -> None:
        try:
            self.tick()
        except Exception as error:
            self.log.error("schedule check failed", error=logs.place(error))


def _timetables(feed: ConfiguredSource) -> Iterator[tuple[Job, Timetable]]:
    if feed.schedule is not None:
        yield Job(feed.name, RunKind.INCREMENTAL), Timetable(feed.schedule, at_once=True)
    if feed.full_resync is not None:
        yield Job(feed.name, RunKind.FULL), Timetable(feed.full_resync)
