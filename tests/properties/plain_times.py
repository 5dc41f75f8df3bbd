"""The effective time of an HL7 v2 message, by product rule 5.1 alone: an interval, as precise as the text.

Where the rules leave a boundary open, it is a range: the earliest and the latest possible time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

CHICAGO = ZoneInfo("America/Chicago")
STEP = timedelta(microseconds=1)
AHEAD = timedelta(minutes=15)
"""How far a clock may run ahead of ours, by the operations documentation. The rule itself has no limit."""
UNREADABLE_TIMES = ("20261341", "NOT A TIME", "2026110", "20261101996100")
LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)
FORMATS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


class When(NamedTuple):
    """Some moment from a start to an end, both included. Each of them is a range: (earliest, latest)."""

    start: tuple[datetime, datetime]
    end: tuple[datetime, datetime]

    def is_after(self, other: When, *, surely: bool) -> bool:
        """Whether it is entirely later: certainly, or possibly."""
        return self.start[0] > other.end[1] if surely else self.start[1] > other.end[0]


NEVER_BEFORE = When((LONG_AGO, LONG_AGO), (LONG_AGO, LONG_AGO))


def exactly(start: datetime, end: datetime) -> When:
    return When((start, start), (end, end))


@lru_cache(maxsize=100_000)
def stated(event: str, sent: str, receipt: datetime) -> When:
    """The time by EVN-2, else MSH-7. If missing or unreadable: any time until MSH-7, or until receipt."""
    zone = offset(sent) or CHICAGO
    found = written(event, zone) if event else written(sent, zone) if sent else None
    if found is not None:
        return received(*found, receipt)
    until = written(sent, zone) if sent else None
    end = min(until[1], receipt) if until else receipt
    return When((LONG_AGO, LONG_AGO), (end, max(end, until[1] if until and until[1] <= receipt + AHEAD else end)))


def received(start: datetime, end: datetime, receipt: datetime) -> When:
    """A time with a future end ends at receipt. If it is entirely in the future, the rule leaves its start open."""
    if start <= receipt:
        return exactly(start, min(end, receipt))
    ahead = start - receipt
    begins = receipt - ahead if ahead < receipt - LONG_AGO else LONG_AGO
    return When((LONG_AGO, begins), (receipt, end if end <= receipt + AHEAD else receipt))


def written(text: str, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """The interval of a written calendar time, in both readings of a repeated hour."""
    digits, own = re.sub(r"[+-]\d{4}$", "", text), offset(text)
    if len(digits) not in FORMATS or not digits.isdigit():
        return None
    try:
        start = datetime.strptime(digits, FORMATS[len(digits)])
    except ValueError:
        return None
    last = following(start, len(digits)) - STEP
    starts, ends = ([one.replace(tzinfo=own or zone, fold=fold).astimezone(UTC) for fold in (0, 1)] for one in (start, last))
    return min(starts), max(ends)


def following(start: datetime, length: int) -> datetime:
    """The start of the next year, month, day, hour, minute or second."""
    if length == 4:
        return start.replace(year=start.year + 1)
    if length == 6:
        return (start + timedelta(days=31)).replace(day=1)
    units = {8: timedelta(days=1), 10: timedelta(hours=1), 12: timedelta(minutes=1), 14: timedelta(seconds=1)}
    return start + units[length]


def offset(text: str) -> tzinfo | None:
    """The UTC offset in the text, if any."""
    found = re.fullmatch(r"\d+([+-])(\d\d)(\d\d)", text)
    if found is None:
        return None
    shift = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-shift if found[1] == "-" else shift)
