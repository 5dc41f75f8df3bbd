"""Which answers of a FHIR server are worth asking again, and how long to wait. Pure.

Sources: RFC 9110 10.2.3 (Retry-After: seconds or a date); SMART Backend Services practice (408, 429, 500, 502, 503, 504).
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

TRANSIENT = (408, 429, 500, 502, 503, 504)
ATTEMPTS = 4
FIRST_WAIT = 1.0  # seconds; doubled with each attempt
LONGEST_WAIT = 60.0  # a longer Retry-After (hours at some vendors) ends the run and is left to the schedule


def seconds_asked(header: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for, in seconds from ``now``; ``None`` when it cannot be read."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        time = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return max(0.0, (time - now).total_seconds())


def pause(attempt: int, asked: float | None, chance: float) -> float | None:
    """Seconds to wait after the given attempt (from 1); ``None`` is: give up. ``chance`` in 0..1 spreads the waits."""
    if attempt >= ATTEMPTS or (asked is not None and asked > LONGEST_WAIT):
        return None
    return max(FIRST_WAIT * 2.0 ** (attempt - 1) * (0.75 + 0.5 * chance), asked or 0.0)
