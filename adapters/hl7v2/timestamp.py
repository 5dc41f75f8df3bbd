"""Reads HL7 timestamps (TS, DTM): ``YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ]``, HL7 v2.9 chapter 2A. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from adapters.mapping import iso_time
from store.times import SECOND, STEP, Time, written

_TIME = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,9}))?)?)?)?)?)?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
# The usual form, to the second or better. In the year 9999 it may end after the last time that Python can hold.
_USUAL = re.compile(r"(?!9999)\d{8}(?:[01]\d|2[0-3])\d{4}(?:\.\d{1,6})?([+-](?:0\d|1[0-3])[0-5]\d)?", re.ASCII)
_WIDTHS = {14: SECOND} | {15 + digits: timedelta(microseconds=10 ** (6 - digits)) for digits in range(1, 7)}
_ISO_OFFSET = re.compile(r"[T ][\d:.,]+\s*(Z|z|[+-]\d\d(?::?\d\d)?)", re.ASCII)  # a time and its offset in ISO 8601 form


def time(text: str, zone: tzinfo) -> Time | None:
    """The time with the precision of the text, or ``None`` if it is not a time. A time without an offset is in ``zone``."""
    try:
        usual = _USUAL.fullmatch(text)
        if usual:
            return _usual(text, usual[1], zone)
        match = _matched(text)
        if match is None:
            return iso_time.read(text, zone) if "-" in text else None  # some interface engines write ISO 8601 into HL7 fields
        *parts, offset = match.groups()
        return iso_time.period(parts, iso_time.tzinfo_of(offset) or zone)
    except (ValueError, OverflowError):
        return None


def _usual(text: str, offset: str | None, zone: tzinfo) -> Time:
    start = datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
    if offset is None:
        return written(start, start + _WIDTHS[len(text)], zone)
    begins = start.astimezone(UTC)
    return Time(begins, begins + (_WIDTHS[len(text) - len(offset)] - STEP))


def offset(text: str) -> tzinfo | None:
    """The offset in the text; ``None`` if there is none or it is unreadable."""
    if text.isdigit():
        return None
    usual = _USUAL.fullmatch(text)
    if usual:
        return iso_time.tzinfo_of(usual[1])
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
