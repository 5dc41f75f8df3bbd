"""Reads HL7 timestamps (TS, DTM): ``YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ]``, HL7 v2.9 chapter 2A. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo
from functools import lru_cache

from adapters.mapping import iso_time
from store.times import SECOND, Time, written

_TIME = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
_ISO_OFFSET = re.compile(r"[T ][\d:.,]+\s*(Z|z|[+-]\d\d(?::?\d\d)?)", re.ASCII)  # a time and its offset in ISO 8601 form


def time(text: str, zone: tzinfo) -> Time | None:
    """The time with the precision of the text, or ``None`` if it is not a time. A time without an offset is in ``zone``."""
    try:
        if len(text) == 14 and text.isascii() and text.isdigit():  # the usual form
            start = datetime(int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), int(text[12:14]))
            return written(start, start + SECOND, zone)
        match = _matched(text)
        if match is None:
            return iso_time.read(text, zone) if "-" in text else None  # some interface engines write ISO 8601 into HL7 fields
        *parts, offset = match.groups()
        return iso_time.period(parts, iso_time.tzinfo_of(offset) or zone)
    except (ValueError, OverflowError):
        return None


def offset(text: str) -> tzinfo | None:
    """The offset in the text; ``None`` if there is none or it is unreadable."""
    if text.isdigit():
        return None
    match = _matched(text)
    iso = None if match else _ISO_OFFSET.search(text.strip())
    if iso and iso.end() != len(text.strip()):
        return None
    try:
        return iso_time.tzinfo_of(match[8] if match else iso[1] if iso else None)
    except ValueError:
        return None


@lru_cache(maxsize=16)  # a message has the same time in several fields, and each is asked for its offset too
def _matched(text: str) -> re.Match[str] | None:
    """Matches an HL7 time. Offsets may be as in ISO 8601. After a bare date only ±ZZZZ is an offset; other forms are months or days."""
    match = _TIME.fullmatch(text.strip())
    return match if match and (match[4] or not match[8] or len(match[8]) == len("+ZZZZ")) else None


def day(text: str) -> date | None:
    """The calendar day of a timestamp with at least the precision of a day, or ``None``."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
