"""When a schedule is due, from its last request. Pure.

Missed times are made up once. After the clock is set back, nothing waits for the time that it had reached before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from store.runs.schedule_times import Due
from sync.config.settings import Schedule

INSTANT = timedelta(microseconds=1)  # what is due at this very moment is due
SET_BACK = timedelta(minutes=10)
"""A clock that is corrected by less asks for nothing twice; what it is late by then is less, too."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """One schedule. ``at_once``: it is due when nothing is known of it yet."""

    schedule: Schedule
    at_once: bool = False

    def standing(self, kept: Due | None, now: datetime) -> Due:
        """When it is due, by what is known of it (``kept``) and today's configuration."""
        written = repr(self.schedule)
        if kept is None:
            return Due(written, self._first(now))
        if kept.schedule != written:
            counted = self.schedule.every is not None and kept.asked is not None  # however often somebody changes it, it comes
            return Due(written, self._after(kept.asked) if counted and kept.asked else self._first(now), kept.asked)
        if kept.due > self._latest(now) and (self.schedule.every or kept.asked is None or kept.asked - now > SET_BACK):
            return replace(kept, due=self._after(now))
        return kept

    def asked(self, due: Due, now: datetime, chance: float) -> Due:
        """When it is due next, once it was asked for. ``chance`` in 0..1 spreads the times by ``jitter``."""
        every = self.schedule.every
        following = due.due + every if every and due.due + every > now else self._after(now)
        return Due(due.schedule, following + self._jitter(following, chance), now)

    def _first(self, now: datetime) -> datetime:
        if self.schedule.every:
            return now if self.at_once else now + self.schedule.every
        return self._after(now - INSTANT)

    def _after(self, moment: datetime) -> datetime:
        """The next time, without jitter. A cron line that never comes is refused when it is read (``sync.config.cron``)."""
        if self.schedule.every:
            return moment + self.schedule.every
        if self.schedule.cron is None:
            raise ValueError("a schedule needs an interval or a cron line")
        found = self.schedule.cron.after(moment, ZoneInfo(self.schedule.time_zone))
        return datetime.max.replace(tzinfo=UTC) if found is None else found.astimezone(UTC)

    def _latest(self, now: datetime) -> datetime:
        """No time that is next lies beyond it, unless the clock was set back."""
        return self._after(now) + (self.schedule.jitter or timedelta(0))

    def _jitter(self, tick: datetime, chance: float) -> timedelta:
        """Of an interval to either side; of a cron line later only, and never onto the time after."""
        jitter = self.schedule.jitter or timedelta(0)
        if self.schedule.every:
            return min(jitter, self.schedule.every / 2) * (2 * chance - 1)
        return min(jitter, self._after(tick) - tick - INSTANT) * chance
