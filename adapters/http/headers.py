"""Header fields that any HTTP server may send. Pure. Source: RFC 9110, 6.6.1 (Date) and 10.2.3 (Retry-After)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

FUTURE = timedelta(days=1)


def moment(header: str | None) -> datetime | None:
    """The time of a Date header, in UTC; ``None`` when there is none that can be read."""
    try:
        found = parsedate_to_datetime(header or "")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def times(header: str | None, begun: datetime, ended: datetime) -> tuple[datetime, datetime]:
    """Of an answer with this Date header: the server's time (else ours), and no later than when it began to answer, by both clocks.

    Servers write the Date at any moment between the request and the answer, so all that it took us to wait is taken off.
    """
    at = moment(header) or ended
    return at, min(begun, at - max(ended - begun, timedelta(0)))


def reading_from(since: datetime | None, now: datetime, overlap: timedelta) -> datetime | None:
    """From when on to read, for a cursor that says ``since``; ``None`` is from the beginning.

    A cursor of the future, from when a clock was wrong, would leave changes out. Machines whose clocks differ by minutes are no reason.
    """
    return None if since is None or since > now + FUTURE else since - overlap


def seconds_asked(header: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for, in seconds from ``now``: a number or a date. ``None`` when it cannot be read."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    time = moment(text)
    return None if time is None else max(0.0, (time - now).total_seconds())
