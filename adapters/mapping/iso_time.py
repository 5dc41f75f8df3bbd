"""Reads ISO 8601 dates and times as used by FHIR, JSON records and some interface engines. Pure.

``2026``, ``2026-06``, ``2026-06-01``, ``2026-06-01T08:00[:00[.123]][Z|±hh:mm]``. The result keeps the precision
of the text (``store.times``).
Source: FHIR R4 2.24.0.1 (instant, dateTime, date).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from store.times import STEP, Time, written

_TIME = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):?(\d\d)?(?::?(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|[+-]\d\d:?\d\d|[+-]\d\d)?)?)?)?", re.ASCII
)

INSTANT = len("2026-11-01T08:00:00.000Z")
MILLISECOND = timedelta(milliseconds=1) - STEP  # its last moment is still part of it
FARTHEST = timedelta(hours=14)  # the largest offset from UTC of any time zone


def read(text: str, zone: tzinfo) -> Time | None:
    """The time, or ``None`` if the text is not a time. A time without an offset is in ``zone``."""
    return _instant(text) or by_parts(text, zone)


def _instant(text: str) -> Time | None:
    """An instant in UTC with milliseconds, as servers write ``meta.lastUpdated``, ten times as fast; ``None`` for anything else."""
    if len(text) != INSTANT or (text[4], text[7], text[10], text[19], text[23]) != ("-", "-", "T", ".", "Z"):
        return None
    try:
        start = datetime.fromisoformat(text)
        return Time(start, start + MILLISECOND)
    except (ValueError, OverflowError):
        return None


def by_parts(text: str, zone: tzinfo) -> Time | None:
    """The same, whatever of it was written."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    *parts, offset = match.groups()
    try:
        return period(parts, tzinfo_of(offset) or zone)
    except (ValueError, OverflowError):
        return None


def period(parts: list[str | None], zone: tzinfo) -> Time:
    """The time from year, month, day, hour, minute, second and fraction; absent parts are ``None``. ``ValueError`` if it is not valid."""
    year, month, day, hour, minute, second, fraction = parts
    start = datetime(int(year or 0), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0))
    if month is None:
        return written(start, start.replace(year=start.year + 1), zone)
    if day is None:
        return written(start, (start + timedelta(days=31)).replace(day=1), zone)
    if fraction is not None:
        digits = fraction[:6]
        step = 10 ** (6 - len(digits))
        start = start.replace(microsecond=int(digits) * step)
        return written(start, start + timedelta(microseconds=step), zone)
    widths = (second, timedelta(seconds=1)), (minute, timedelta(minutes=1)), (hour, timedelta(hours=1)), (day, timedelta(days=1))
    return written(start, start + next(width for part, width in widths if part is not None), zone)


@lru_cache(maxsize=200)  # there are no more offsets in use
def tzinfo_of(offset: str | None) -> timezone | None:
    """The time zone of an offset (``Z``, ``+01:00``, ``-0600``, ``+01``). ``ValueError`` for an offset that no time zone has."""
    if not offset:
        return None
    if offset in "Zz":
        return UTC
    minutes = int(offset[3:].lstrip(":") or 0)
    away = timedelta(hours=int(offset[1:3]), minutes=minutes)
    if minutes > 59 or away > FARTHEST:
        raise ValueError("not an offset")
    return timezone(-away if offset[0] == "-" else away)
