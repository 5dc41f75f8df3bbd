"""HL7 time stamps (TS, DTM): ``YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ]``, HL7 v2.9 chapter 2A. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo

from adapters.mapping import iso_time
from store.times import SECOND, Time, written

_TIME = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
_BEHIND = re.compile(r"[T ][\d:.,]+\s*(Z|z|[+-]\d\d(?::?\d\d)?)", re.ASCII)  # an hour, then the offset, as ISO 8601 writes them


def time(text: str, zone: tzinfo) -> Time | None:
    """The time that the text names, as precise as it is written, or ``None``. Without an offset it is in ``zone``."""
    try:
        if len(text) == 14 and text.isascii() and text.isdigit():  # what nearly every EMR sends
            start = datetime(int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), int(text[12:14]))
            return written(start, start + SECOND, zone)
        match = _matched(text)
        if match is None:
            return iso_time.read(text, zone) if "-" in text else None  # which some interface engines write into HL7 fields
        *parts, offset = match.groups()
        return iso_time.period(parts, iso_time.tzinfo_of(offset) or zone)
    except (ValueError, OverflowError):
        return None


def offset(text: str) -> tzinfo | None:
    """The offset that a time is written with, if any; ``None`` also for one that cannot be read."""
    if text.isdigit():
        return None
    match = _matched(text)
    behind = None if match else _BEHIND.search(text.strip())
    if behind and behind.end() != len(text.strip()):
        return None
    try:
        return iso_time.tzinfo_of(match[8] if match else behind[1] if behind else None)
    except ValueError:
        return None


def _matched(text: str) -> re.Match[str] | None:
    """The parts of an HL7 time. Senders write offsets as ISO 8601 does, too; behind a date those would be its months or days."""
    match = _TIME.fullmatch(text.strip())
    return match if match and (match[4] or not match[8] or len(match[8]) == len("+ZZZZ")) else None


def day(text: str) -> date | None:
    """The calendar day that a time stamp of any precision from the day on names, or ``None``."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
