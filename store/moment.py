"""A time as hand-written SQL brings it."""

from __future__ import annotations

from datetime import datetime


def instant(value: object) -> datetime:
    """The time of a column: SQLite gives ISO text, PostgreSQL a datetime."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
