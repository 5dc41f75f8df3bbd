"""A time as hand-written SQL brings it."""

from __future__ import annotations

from datetime import datetime

from store import times
from store.times import Time


def instant(value: object) -> datetime:
    """The time of a column: SQLite gives ISO text, PostgreSQL a datetime."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


def interval(earliest: object, latest: object) -> Time:
    """The time of two columns, of which the second is empty for a moment."""
    return times.between(instant(earliest), None if latest is None else instant(latest))
