"""The budget of a source at its EMR: requests per minute, parallel downloads, quiet hours, and how often a bulk export is allowed.

What was used is kept in the source's notes, so that a restart or another process does not start with a full budget.
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
    """From ``start`` until before ``end``, wall-clock time; across midnight if the end is earlier than the start."""

    start: time
    end: time

    def contains(self, at: time) -> bool:
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """The limits. ``requests_per_minute`` 0: no limit. ``bulk_every``: at most one export is requested in this time."""

    requests_per_minute: float = 0.0
    parallel: int = 4
    quiet: tuple[QuietHours, ...] = ()
    bulk_every: timedelta = timedelta(0)
    time_zone: str = "UTC"


def quiet_hours(text: str) -> QuietHours:
    """Quiet hours from text like ``07:00-19:00``. Raises ``ValueError``."""
    found = HOURS.fullmatch(text.strip())
    if not found or found[1] + found[2] == found[3] + found[4]:
        raise ValueError(f"quiet_hours has {text!r}: write it like 07:00-19:00")
    start, end = (time(int(found[hour]), int(found[hour + 1])) for hour in (1, 3))
    return QuietHours(start, end)


def quiet_until(now: datetime, hours: Sequence[QuietHours], time_zone: str) -> datetime | None:
    """When the current quiet hours end; ``None`` outside quiet hours. Adjacent quiet hours count as one."""
    zone, until = ZoneInfo(time_zone), None
    local = now.astimezone(zone)
    for _ in range(len(hours)):
        current = next((one for one in hours if one.contains(local.time())), None)
        if current is None:
            break
        day = local.date() if local.time() < current.end else local.date() + timedelta(days=1)
        # A wall-clock time skipped by a clock change comes out an hour later: still after the quiet hours. If a time occurs twice, the
        # first one may be over.
        end = datetime.combine(day, current.end, zone)
        local = until = end if end.astimezone(UTC) > now else end.replace(fold=1)
    return until.astimezone(UTC) if until else None


def next_slot(noted: str | None, now: datetime, per_minute: float) -> datetime:
    """When the next request may be sent. Requests are evenly spaced, so no minute exceeds the limit."""
    last = _moment(noted)
    return now if last is None else max(now, last + timedelta(minutes=1 / per_minute))


def export_allowed_at(noted: str | None, bulk_every: timedelta) -> datetime | None:
    """When the next export may be requested; ``None``: any time."""
    last = _moment(noted)
    return None if last is None or not bulk_every else last + bulk_every


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


@dataclass(slots=True)
class Budget:
    """The budget of one source. As thread-safe as its notes; ``notes`` can be replaced before the first use."""

    limits: BudgetLimits
    clock: Callable[[], datetime]
    sleep: Callable[[float], None] = pause_for
    notes: Notes = field(default_factory=InMemoryNotes)

    def spend(self) -> None:
        """Reserves the next slot for a request and waits for it."""
        if not self.limits.requests_per_minute:
            return
        now = self.clock()
        slot = self.notes.change(REQUESTS, lambda noted: next_slot(noted, now, self.limits.requests_per_minute).isoformat())
        pause = (datetime.fromisoformat(slot) - now).total_seconds()
        if pause > 0:
            self.sleep(pause)

    def quiet_wait(self) -> Wait | None:
        """How long to wait for the end of the quiet hours; ``None`` outside them."""
        now = self.clock()
        until = quiet_until(now, self.limits.quiet, self.limits.time_zone)
        return None if until is None else Wait((until - now).total_seconds(), "quiet hours of the source")

    def export_wait(self) -> Wait | None:
        """How long to wait before an export may be requested; ``None`` if it may be now."""
        now = self.clock()
        allowed = export_allowed_at(self.notes.read(EXPORT), self.limits.bulk_every)
        if allowed is None or allowed <= now:
            return None
        return Wait((allowed - now).total_seconds(), "at most one export per budget.bulk_every")

    def record_export(self) -> None:
        """Records an export request. Called before the request, so that one that is lost counts too."""
        now = self.clock().isoformat()
        self.notes.change(EXPORT, lambda _: now)
