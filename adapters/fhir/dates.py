"""Reads FHIR dates and times. Pure. Source: FHIR R4 section 2.24.0.1 (instant, dateTime, date) and 2.24.0.11 (Period)."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime
from typing import Any


def instant(value: Any) -> datetime | None:
    """An instant or dateTime in UTC; a partial date is its first moment. ``None`` for anything else.

    A time without an offset counts as UTC: FHIR forbids it, but servers send it.
    """
    if not isinstance(value, str) or len(value) < 4:
        return None
    text = value + "-01-01"[len(value) - 4 :] if len(value) in (4, 7) else value
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def first_day(value: Any) -> str | None:
    """The ISO date on which a period starts; ``2019`` starts on ``2019-01-01``."""
    return _day(value, "01", "01")


def last_day(value: Any) -> str | None:
    """The ISO date on which a period ends, inclusive; ``2019`` ends on ``2019-12-31``."""
    day = _day(value, "12", "31")
    if day is None or len(value) != 7:
        return day
    return f"{value}-{monthrange(int(value[:4]), int(value[5:7]))[1]:02d}"


def _day(value: Any, month: str, day: str) -> str | None:
    time = instant(value)
    if time is None:
        return None
    if len(value) in (4, 7):
        return f"{value}-{day}" if len(value) == 7 else f"{value}-{month}-{day}"
    # The day as written, not in UTC.
    return str(value)[:10] if value[4:5] == "-" else time.date().isoformat()


def ended(holder: dict[str, Any], today: str) -> bool:
    """Whether an element's ``use`` is old or its period ended before ``today`` (ISO date)."""
    use, period = holder.get("use"), holder.get("period")
    if isinstance(use, str) and use.strip().casefold() == "old":
        return True
    end = last_day(period.get("end")) if type(period) is dict else None
    return end is not None and end < today
