"""Header fields that any HTTP server may send. Pure. Source: RFC 9110, 6.6.1 (Date) and 10.2.3 (Retry-After)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

FUTURE = timedelta(days=1)


def moment(header: str | None) -> datetime | None:
    """The time of a Date header, in UTC; ``None`` if it is missing or unreadable."""
    try:
        found = parsedate_to_datetime(header or "")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def times(header: str | None, begun: datetime, ended: datetime) -> tuple[datetime, datetime]:
    """The server's time (else ours) of a response with this Date header, and a time no later than when it began to answer, by both clocks.

    Servers set the Date at any moment between request and response, so the whole waiting time is subtracted.
    """
    at = moment(header) or ended
    return at, min(begun, at - max(ended - begun, timedelta(0)))


def read_since(since: datetime | None, now: datetime, overlap: timedelta) -> datetime | None:
    """The time from which to read, for a cursor with the time ``since``; ``None``: read everything.

    A cursor in the future, written while a clock was wrong, would skip changes. A difference of minutes between clocks is tolerated.
    """
    return None if since is None or since > now + FUTURE else since - overlap


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """The seconds from ``now`` that a Retry-After header (a number or a date) asks for. ``None`` if it cannot be read."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    time = moment(text)
    return None if time is None else max(0.0, (time - now).total_seconds())
