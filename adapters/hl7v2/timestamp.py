"""HL7 time stamps (TS, DTM): ``YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ]``, HL7 v2.9 chapter 2A. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo

from adapters import iso_time
from store.times import SECOND, Time, written

_TIME = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII)


def time(text: str, zone: tzinfo) -> Time | None:
    """The time that the text names, as precise as it is written, or ``None``. Without an offset it is in ``zone``."""
    try:
        if len(text) == 14 and text.isascii() and text.isdigit():  # what nearly every EMR sends
            start = datetime(int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), int(text[12:14]))
            return written(start, start + SECOND, zone)
        match = _TIME.fullmatch(text.strip())
        if match is None:
            return iso_time.read(text, zone) if "-" in text else None  # which some interface engines write into HL7 fields
        *parts, offset = match.groups()
        return iso_time.period(parts, iso_time.tzinfo_of(offset) or zone)
    except (ValueError, OverflowError):
        return None


def offset(text: str) -> tzinfo | None:
    """The offset that a time stamp is written with, if any."""
    match = _TIME.fullmatch(text.strip())
    return iso_time.tzinfo_of(match[8]) if match else None


def day(text: str) -> date | None:
    """The calendar day that a time stamp of any precision from the day on names, or ``None``."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
