"""How much of an EMR's time a source may take: requests a minute, parallel downloads, quiet hours, one bulk export in a while.

What was spent is kept in the source's notes, so that a restart, or another process, does not begin with a full purse.
The arithmetic is pure; :class:`Budget` adds the clock and the notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from time import sleep as pause_for
from zoneinfo import ZoneInfo

from adapters.base import Wait
from adapters.notes import InMemoryNotes, Notes

REQUESTS, EXPORT = "budget.requests", "budget.export"
HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From ``start`` until before ``end``, wall-clock time; over midnight when the end is the earlier one."""

    start: time
    end: time

    def holds(self, at: time) -> bool:
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """``requests_per_minute`` 0: no limit. ``bulk_every``: at most one export is asked for in so long."""

    requests_per_minute: float = 0.0
    parallel: int = 4
    quiet: tuple[QuietHours, ...] = ()
    bulk_every: timedelta = timedelta(0)
    time_zone: str = "UTC"


def quiet_hours(text: str) -> QuietHours:
    """``07:00-19:00``. Raises ``ValueError``."""
    found = HOURS.fullmatch(text.strip())
    if not found or found[1] + found[2] == found[3] + found[4]:
        raise ValueError(f"quiet_hours has {text!r}: write it like 07:00-19:00")
    start, end = (time(int(found[hour]), int(found[hour + 1])) for hour in (1, 3))
    return QuietHours(start, end)


def quiet_until(now: datetime, hours: Sequence[QuietHours], time_zone: str) -> datetime | None:
    """When the quiet hours that hold at ``now`` are over; ``None`` when none hold. Hours that follow each other are one."""
    zone, until = ZoneInfo(time_zone), None
    local = now.astimezone(zone)
    for _ in range(len(hours)):
        held = next((one for one in hours if one.holds(local.time())), None)
        if held is None:
            break
        day = local.date() if local.time() < held.end else local.date() + timedelta(days=1)
        # A wall-clock time that a change of the clocks skips comes out an hour later: still after the quiet hours. Of one that comes twice
        # the first may be over.
        end = datetime.combine(day, held.end, zone)
        local = until = end if end.astimezone(UTC) > now else end.replace(fold=1)
    return until.astimezone(UTC) if until else None


def next_slot(noted: str | None, now: datetime, per_minute: float) -> datetime:
    """When the next request may leave: requests are evenly spaced, so no minute ever has more than its number."""
    last = _moment(noted)
    return now if last is None else max(now, last + timedelta(minutes=1 / per_minute))


def export_allowed_at(noted: str | None, bulk_every: timedelta) -> datetime | None:
    """When the next export may be asked for; ``None``: any time."""
    last = _moment(noted)
    return None if last is None or not bulk_every else last + bulk_every


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


@dataclass(slots=True)
class Budget:
    """The purse of one source. Thread-safe as its notes are; ``notes`` can be exchanged before the first use."""

    limits: BudgetLimits
    clock: Callable[[], datetime]
    sleep: Callable[[float], None] = pause_for
    notes: Notes = field(default_factory=InMemoryNotes)

    def spend(self) -> None:
        """Takes the next slot for a request, and waits for it."""
        if not self.limits.requests_per_minute:
            return
        now = self.clock()
        slot = self.notes.change(REQUESTS, lambda noted: next_slot(noted, now, self.limits.requests_per_minute).isoformat())
        pause = (datetime.fromisoformat(slot) - now).total_seconds()
        if pause > 0:
            self.sleep(pause)

    def quiet(self) -> Wait | None:
        """The rest of the quiet hours, where it is their time."""
        now = self.clock()
        until = quiet_until(now, self.limits.quiet, self.limits.time_zone)
        return None if until is None else Wait((until - now).total_seconds(), "quiet hours of the source")

    def export(self) -> Wait | None:
        """How long no export may be asked for."""
        now = self.clock()
        allowed = export_allowed_at(self.notes.read(EXPORT), self.limits.bulk_every)
        if allowed is None or allowed <= now:
            return None
        return Wait((allowed - now).total_seconds(), "at most one export per budget.bulk_every")

    def exported(self) -> None:
        """Notes that an export is being asked for. Before it is: one that is asked for and lost counts too."""
        now = self.clock().isoformat()
        self.notes.change(EXPORT, lambda _: now)
