"""A birth date, as precisely as its source wrote it. Pure.

It is kept as text: ``1980-02-03``, ``1980-02`` if the day is not known, ``1980`` if only the year is.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo

from adapters.mapping import iso_time
from store.preference import BIRTH_DATE, Problem
from store.times import Time

UNUSABLE = Problem("birth_date_unusable", "", "this is not a date of birth: it cannot be read, or it is in the future", BIRTH_DATE)
DATE = len("1980-02-03")
TOMORROW = timedelta(days=1)
"""Somewhere it is tomorrow already."""


ISO = "YYYY-MM-DD"
FORMATS = {"MM/DD/YYYY": "%m/%d/%Y", "DD/MM/YYYY": "%d/%m/%Y"}
"""Formats of a record, besides ISO 8601. They are configured, since nothing tells 03/02/1980 from 02/03/1980."""
TIME_OF_DAY = re.compile(r"[T ]\d\d:.*")


def formatted(text: str, form: str, today: date) -> str | None:
    """The text of a date in a format of a record. ``None`` if it is not one. A time of day beside it does not count."""
    day = TIME_OF_DAY.sub("", text.strip())
    if form == ISO:
        return written(iso_time.read(day, UTC), UTC, today)
    try:
        return on(datetime.strptime(day, FORMATS[form]).date(), today)
    except ValueError:
        return None


def on(day: date | None, today: date) -> str | None:
    """The text of a day. ``None`` if there is none, or it is in the future."""
    return None if day is None or day > today + TOMORROW else day.isoformat()


def plain(text: str, today: date) -> str | None:
    """The text of a date as most are written, ``1980-02-03``, without reading it as a time. ``None`` for any other text."""
    if len(text) != DATE or text[4] != "-" or text[7] != "-":
        return None
    try:
        return on(date.fromisoformat(text), today)
    except ValueError:
        return None


def written(time: Time | None, zone: tzinfo, today: date) -> str | None:
    """The text of a time that was read in ``zone``. ``None`` if nothing was read, if it is in the future, or wider than a year."""
    if time is None:
        return None
    first, last = time.earliest.astimezone(zone).date(), time.latest.astimezone(zone).date()
    if first > today + TOMORROW or first.year != last.year:
        return None
    text = first.isoformat()
    return text if first == last else text[:7] if first.month == last.month else text[:4]
