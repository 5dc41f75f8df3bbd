"""A time is an interval, as precise as it was written (product rule 5.1). Pure; adapters may import it.

``20260601`` is some moment of that day and never its first or last second. Two times compare in three ways: one is entirely later, one
is entirely earlier, or they overlap, and then nobody can tell. Both ends are aware UTC and belong to the interval; the clock's step is
a microsecond, so a time that was written to the second ends 999,999 microseconds after it begins.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo

from msgspec import Struct

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
"""Where a time of which nothing is known begins."""

STEP = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
AHEAD = timedelta(minutes=15)
"""How far ahead of ours an EMR's clock may reasonably be."""


class Time(Struct, frozen=True):
    """Some moment from ``earliest`` to ``latest``, both included.

    A payload makes and compares dozens. A Struct does both in a tenth of a dataclass's time.
    """

    earliest: datetime
    latest: datetime

    def is_after(self, other: Time) -> bool:
        """Whether it is entirely later."""
        return self.earliest > other.latest

    def is_before(self, other: Time) -> bool:
        """Whether it is entirely earlier."""
        return self.latest < other.earliest

    def is_newer(self, other: Time) -> bool | None:
        """Whether it is the later of the two; ``None`` where they overlap, so that nobody can tell."""
        return True if self.earliest > other.latest else False if self.latest < other.earliest else None

    @property
    def end(self) -> datetime | None:
        """``latest``, or ``None`` for a moment: how a row keeps it beside ``earliest``."""
        return None if self.latest == self.earliest else self.latest


def is_precise(time: Time) -> bool:
    """Whether it was written to the second, or better."""
    return time.latest - time.earliest < SECOND


def at(moment: datetime) -> Time:
    """One moment, known exactly."""
    return Time(moment, moment)


def between(earliest: datetime, latest: datetime | None) -> Time:
    """The time of a row: ``latest`` is :attr:`Time.end`."""
    return Time(earliest, earliest if latest is None else latest)


def unknown(until: datetime) -> Time:
    """A time that was not given or cannot be read: any moment until then."""
    return Time(min(BEGINNING, until), until)


def newest(one: Time, other: Time) -> Time:
    """The later of two times at which the same was stated. Where they overlap it is later than either may have been."""
    if one.earliest >= other.earliest and one.latest >= other.latest:
        return one
    if other.earliest >= one.earliest and other.latest >= one.latest:
        return other
    return Time(max(one.earliest, other.earliest), max(one.latest, other.latest))


def written(start: datetime, end: datetime, zone: tzinfo) -> Time:
    """A calendar time from ``start`` until just before ``end``, both local without a zone.

    Where the clocks went back in between, both readings of the repeated hour are possible. Raises :class:`OverflowError` for a
    time that UTC cannot hold.
    """
    if type(zone) is timezone:  # an offset: no hour is repeated
        begins = start.replace(tzinfo=zone).astimezone(UTC)
        return Time(begins, begins + (end - start - STEP))
    first, again = start.replace(tzinfo=zone), start.replace(tzinfo=zone, fold=1)
    if end - start <= SECOND and first.utcoffset() == again.utcoffset():
        begins = first.astimezone(UTC)
        return Time(begins, begins + (end - start - STEP))
    last = end - STEP
    ends = [last.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return Time(min(first.astimezone(UTC), again.astimezone(UTC)), max(ends))


def received(time: Time, receipt: datetime) -> Time:
    """A stated time at its receipt: nothing was stated after it was received, so a time that reaches beyond ends there.

    One that lies ahead altogether shows that a clock is wrong, the EMR's or ours. It may be too late by as much as it is ahead, so it
    begins that much before receipt. Within :data:`AHEAD` it may also be right, and ours late: then its end stays as it was written.
    """
    if time.latest <= receipt:
        return time
    if time.earliest <= receipt:
        return Time(time.earliest, receipt)
    ahead = time.earliest - receipt
    earliest = receipt - ahead if ahead < receipt - BEGINNING else BEGINNING
    return Time(earliest, time.latest if time.latest - receipt <= AHEAD else receipt)


def by_late_clock(time: Time, clock: datetime, receipt: datetime) -> Time:
    """A time at a receipt that is later than our own ``clock`` shows: that clock was set back, or is not the one of the receipt before.

    What states no time of its own has its time from that clock: up to what it shows, or that moment. It may be as late as the receipt.
    A written time stays as it is, unless it is one moment and within :data:`AHEAD` of the clock, so that nobody can tell the two apart.
    """
    ours = time.earliest in (BEGINNING, time.latest) and clock - AHEAD <= time.latest <= clock
    return Time(time.earliest, receipt) if ours and clock < receipt else time


def is_ahead(time: Time, receipt: datetime) -> bool:
    """Whether it lies in the future altogether, by more than clocks differ."""
    return time.earliest - receipt > AHEAD
