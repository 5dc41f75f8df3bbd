"""When a schedule is due, from its last request. Pure.

Missed times are made up for once. After the clock is set back, schedules do not wait until it reaches its earlier time again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from store.runs.schedule_times import Due
from sync.config.settings import Schedule

INSTANT = timedelta(microseconds=1)  # so that a time equal to now counts as due
SET_BACK = timedelta(minutes=10)
"""If the clock is set back by less than this, due times stay. No run is then requested twice, and the delay is shorter than this."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """One schedule. ``at_once``: an interval is due at once if it has no record yet."""

    schedule: Schedule
    at_once: bool = False

    def current(self, record: Due | None, now: datetime) -> Due:
        """When it is due, from its ``record`` and the current configuration."""
        configured = repr(self.schedule)
        if record is None:
            return Due(configured, self._first(now))
        if record.schedule != configured:
            counted = self.schedule.every is not None and record.asked is not None  # so that frequent changes do not postpone it forever
            return Due(configured, self._next(record.asked) if counted and record.asked else self._first(now), record.asked)
        if record.due > self._latest(now) and (self.schedule.every or record.asked is None or record.asked - now > SET_BACK):
            return replace(record, due=self._next(now))
        return record

    def next_after_request(self, due: Due, now: datetime, chance: float) -> Due:
        """When it is due next, after a request. ``chance`` in 0..1 spreads the times by ``jitter``."""
        every = self.schedule.every
        tick = due.due + every if every and due.due + every > now else self._next(now)
        return Due(due.schedule, tick + self._jitter(tick, chance), now)

    def _first(self, now: datetime) -> datetime:
        if self.schedule.every:
            return now if self.at_once else now + self.schedule.every
        return self._next(now - INSTANT)

    def _next(self, moment: datetime) -> datetime:
        """The next time after ``moment``, without jitter. Cron lines that never match are rejected on loading (``sync.config.cron``)."""
        if self.schedule.every:
            return moment + self.schedule.every
        if self.schedule.cron is None:
            raise ValueError("a schedule needs an interval or a cron line")
        found = self.schedule.cron.after(moment, ZoneInfo(self.schedule.time_zone))
        return datetime.max.replace(tzinfo=UTC) if found is None else found.astimezone(UTC)

    def _latest(self, now: datetime) -> datetime:
        """The latest possible next time. A later one means that the clock was set back."""
        return self._next(now) + (self.schedule.jitter or timedelta(0))

    def _jitter(self, tick: datetime, chance: float) -> timedelta:
        """The jitter: for an interval in both directions; for a cron line only later, and before its next time."""
        jitter = self.schedule.jitter or timedelta(0)
        if self.schedule.every:
            return min(jitter, self.schedule.every / 2) * (2 * chance - 1)
        return min(jitter, self._next(tick) - tick - INSTANT) * chance
