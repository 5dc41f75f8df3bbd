"""Cron lines, pure. Five fields as in POSIX crontab(5): minute, hour, day of month, month, day of week.

Parsed here and not by the scheduler, whose reading differs from every crontab: it takes day 0 for Monday (crontab: Sunday), and
joins day of month and day of week by *and* (crontab: *or*). The first is translated, the second refused.
"""

from __future__ import annotations

from typing import NamedTuple

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
EXAMPLE = "write five fields, like */15 * * * * or 0 3 * * 0"


class Field(NamedTuple):
    """One field: its name, its bounds, and the names its numbers have, counted from ``low``."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 7, DAYS),
)


class Cron(NamedTuple):
    """The numbers of each field, comma separated, or ``*``; days of the week by name."""

    minute: str
    hour: str
    day: str
    month: str
    day_of_week: str


def parse(line: str) -> Cron:
    """A cron line. ``ValueError`` says what is wrong with it."""
    parts = line.split()
    if len(parts) != len(FIELDS):
        raise ValueError(f"has {len(parts)} fields: {EXAMPLE}")
    minute, hour, day, month, weekday = (_numbers(field, part) for field, part in zip(FIELDS, parts, strict=True))
    if day is not None and weekday is not None:
        raise ValueError("names a day of month and a day of week: leave one of them *")
    named = "*" if weekday is None else ",".join(DAYS[number] for number in sorted({number % 7 for number in weekday}))
    return Cron(_text(minute), _text(hour), _text(day), _text(month), named)


def _text(numbers: set[int] | None) -> str:
    return "*" if numbers is None else ",".join(map(str, sorted(numbers)))


def _numbers(field: Field, text: str) -> set[int] | None:
    """The numbers of one field; ``None`` is all of them, written ``*``."""
    if text == "*":
        return None
    return {number for part in text.split(",") for number in _range(field, part)}


def _range(field: Field, text: str) -> range:
    span, slash, step = text.partition("/")
    if slash and (not step.isdecimal() or int(step) == 0):
        raise ValueError(f"{field.name}: {step!r} is no step: {EXAMPLE}")
    low, dash, high = span.partition("-")
    if span == "*":
        first, last = field.low, min(field.high, 6) if field.names == DAYS else field.high
    else:
        first = _number(field, low)
        last = _number(field, high) if dash else (field.high if slash else first)
    if last < first:
        raise ValueError(f"{field.name}: {span!r} runs backwards")
    return range(first, last + 1, int(step) if slash else 1)


def _number(field: Field, text: str) -> int:
    if text.casefold() in field.names:
        return field.names.index(text.casefold()) + field.low
    if not text.isdecimal() or not field.low <= int(text) <= field.high:
        raise ValueError(f"{field.name}: {text!r} is not between {field.low} and {field.high}")
    return int(text)
