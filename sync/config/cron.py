"""Cron lines, pure. Five fields as in POSIX crontab(5): minute, hour, day of month, month, day of week.

Parsed here and not by the scheduler, whose reading differs from every crontab: it takes day 0 for Monday (crontab: Sunday), and
joins day of month and day of week by *and* (crontab: *or*). The first is translated, the second refused. When its next tick is, is
computed here too: the scheduler leaves out a day when the clocks go forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LONGEST = 366 * 8 + 3  # days: 29 February comes after eight years at the latest
LEAP = datetime(2028, 1, 1, tzinfo=UTC)
EXAMPLE = "write it like */15 * * * * or 0 3 * * 0"


class CronField(NamedTuple):
    """One field: its name, its bounds, and the names its numbers have, counted from ``low``."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


FIELDS = (
    CronField("minute", 0, 59),
    CronField("hour", 0, 23),
    CronField("day of month", 1, 31),
    CronField("month", 1, 12, MONTHS),
    CronField("day of week", 0, 7, DAYS),
)


class Cron(NamedTuple):
    """The numbers of each field, comma separated, or ``*``; days of the week by name."""

    minute: str
    hour: str
    day: str
    month: str
    day_of_week: str

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first tick later than ``moment``, in the zone; ``None`` when there is none in the years to come (30 February).

        As crontab has it: a time that the clocks skip ticks once, when they went on; one that comes twice ticks once, unless the
        line names every hour and so means each that passes.
        """
        local = moment.astimezone(zone)
        for offset in range(-1, LONGEST):
            ticks = (one for one in self._ticks(local.date() + timedelta(days=offset), zone) if one > moment)
            if found := min(ticks, default=None):
                return found.astimezone(zone)
        return None

    def _ticks(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        """The ticks of one local day, in UTC."""
        if not (_holds(self.day, day.day) and _holds(self.month, day.month) and self._weekday(day)):
            return
        for hour in _members(self.hour, 24):
            for minute in _members(self.minute, 60):
                first = datetime.combine(day, time(hour, minute), zone)
                yield _existing(first, zone)
                if self._each_hour:
                    yield _existing(first.replace(fold=1), zone)

    @property
    def _each_hour(self) -> bool:
        """Whether the line means every hour that passes, also the one that comes twice: ``*``, ``*/1``, ``0-23``."""
        return len(list(_members(self.hour, 24))) == 24

    def _weekday(self, day: date) -> bool:
        return self.day_of_week == "*" or DAYS[day.isoweekday() % 7] in self.day_of_week.split(",")


def _existing(local: datetime, zone: ZoneInfo) -> datetime:
    """The moment of a wall-clock time, in UTC; of one that the clocks skip, the moment at which they go forward."""
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    before, after = (local.replace(fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
    return _change(moment - abs(after - before), moment + abs(after - before), zone)


def _change(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """When the offset changes between two moments: to the minute, which is how zones change."""
    offset = early.astimezone(zone).utcoffset()
    minutes = int((late - early).total_seconds() // 60)
    return next(
        (at for minute in range(minutes + 1) if (at := early + timedelta(minutes=minute)).astimezone(zone).utcoffset() != offset), late
    )


def _holds(numbers: str, number: int) -> bool:
    return numbers == "*" or str(number) in numbers.split(",")


def _members(numbers: str, end: int) -> Iterator[int]:
    return iter(range(end)) if numbers == "*" else map(int, numbers.split(","))


def parse(line: str) -> Cron:
    """A cron line. ``ValueError`` says what is wrong with it."""
    parts = line.split()
    if len(parts) != len(FIELDS):
        raise ValueError(f"must have five fields, has {len(parts)}; {EXAMPLE}")
    minute, hour, day, month, weekday = (_numbers(field, part) for field, part in zip(FIELDS, parts, strict=True))
    if day is not None and weekday is not None:
        raise ValueError("has both a day of month and a day of week; set one of them to *")
    named = "*" if weekday is None else ",".join(DAYS[number] for number in sorted({number % 7 for number in weekday}))
    found = Cron(_text(minute), _text(hour), _text(day), _text(month), named)
    if found.after(LEAP, ZoneInfo("UTC")) is None:
        raise ValueError("would never run: no month has this day; correct it")
    return found


def _text(numbers: set[int] | None) -> str:
    return "*" if numbers is None else ",".join(map(str, sorted(numbers)))


def _numbers(field: CronField, text: str) -> set[int] | None:
    """The numbers of one field; ``None`` is all of them, written ``*``."""
    if text == "*":
        return None
    return {number for part in text.split(",") for number in _range(field, part)}


def _range(field: CronField, text: str) -> range:
    span, slash, step = text.partition("/")
    if slash and (not step.isdecimal() or int(step) == 0):
        raise ValueError(f"{field.name}: {step!r} is not a valid step; {EXAMPLE}")
    low, dash, high = span.partition("-")
    if span == "*":
        first, last = field.low, min(field.high, 6) if field.names == DAYS else field.high
    else:
        first = _number(field, low)
        last = _number(field, high) if dash else (field.high if slash else first)
    if last < first:
        raise ValueError(f"{field.name}: {span!r} is reversed; write the lower value first")
    return range(first, last + 1, int(step) if slash else 1)


def _number(field: CronField, text: str) -> int:
    if text.casefold() in field.names:
        return field.names.index(text.casefold()) + field.low
    if not text.isdecimal() or not field.low <= int(text) <= field.high:
        raise ValueError(f"{field.name}: {text!r} must be between {field.low} and {field.high}")
    return int(text)
