"""HL7 time stamps (TS, DTM): ``YYYY[MM[DD[HH[MM[SS[.S…]]]]]][+/-ZZZZ]``, HL7 v2.9 chapter 2A. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)?(\d\d)?(?:\.(\d{1,6})\d*)?(?:([+-])(\d\d)(\d\d))?", re.ASCII)


def instant(text: str, zone: ZoneInfo) -> datetime | None:
    """The moment in UTC, or ``None``. Without an offset it is the local time of ``zone``.

    A bare date is ``None`` too: taken as midnight it would make everything else of its day look newer than it is.
    """
    try:
        if len(text) == 14 and text.isdigit():  # what nearly every EMR sends
            moment = datetime(
                int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), int(text[12:14]), tzinfo=zone
            )
            return moment.astimezone(UTC)
        match = _TIME.fullmatch(text.strip())
        return _from_parts(match.groups(), zone) if match else _iso(text.strip(), zone)
    except (ValueError, OverflowError):
        return None


def day(text: str) -> date | None:
    """The calendar day that a time stamp of any precision from the day on names, or ``None``."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def _from_parts(parts: tuple[str | None, ...], zone: ZoneInfo) -> datetime:
    year, month, dom, hour, minute, second = (int(part or 0) for part in parts[:6])
    micro = int((parts[6] or "0").ljust(6, "0"))
    return datetime(year, month, dom, hour, minute, second, micro, tzinfo=_offset(parts[7:]) or zone).astimezone(UTC)


def _offset(parts: tuple[str | None, ...]) -> timezone | None:
    sign, hours, minutes = parts
    if sign is None:
        return None
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return timezone(-offset if sign == "-" else offset)


def _iso(text: str, zone: ZoneInfo) -> datetime | None:
    """ISO 8601, which some interface engines write into HL7 fields."""
    if "T" not in text and " " not in text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
