"""Times and durations on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from adapters.schema import duration
from sync.runtime import UsageError


def moment(text: str | None, option: str) -> datetime | None:
    """A time; UTC unless it has an offset. Raises ``UsageError`` with the option's name."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: not a time; write it like 2026-11-01 or 2026-11-01T08:30:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def later(now: datetime, text: str | None, option: str) -> datetime | None:
    """``now`` plus a duration like 90d. Raises ``UsageError`` with the option's name."""
    if text is None:
        return None
    try:
        return now + duration(text)
    except (ValueError, OverflowError):
        raise UsageError(f"{option}: not a duration; write it like 90d or 12h") from None
