"""When a record is in force: its periods, and the moments at which one of them starts or ends. Pure.

A date is a day in the source's zone; a period includes its end (FHIR R4 2.24.0.11).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Any, NamedTuple

from adapters.fhir import absent
from adapters.mapping import iso_time
from store.times import STEP, Time

MOST = 50
"""A record with more changes than that is not a consent given by a person."""

PARTS = ("provision", "except")


class RecordStatus(StrEnum):
    """Whether a record is in force, from its status and periods.

    Doubtful: only the period cannot be read, so its refusals count. Unreadable: the status is unknown.
    """

    IN_FORCE = "in_force"
    REFUSED = "refused"
    ENDED = "ended"
    NOT_YET = "not_yet"
    DOUBTFUL = "doubtful"
    UNREADABLE = "unreadable"


class When(NamedTuple):
    """A moment, and the time zone for times without one."""

    at: datetime
    zone: tzinfo


def status_at(periods: list[Any], when: When) -> RecordStatus:
    """The status for several periods, by the worst: ended, not started, unreadable."""
    found = [_status_of(period, when) for period in periods if period is not None]
    return next((one for one in (RecordStatus.ENDED, RecordStatus.NOT_YET, RecordStatus.DOUBTFUL) if one in found), RecordStatus.IN_FORCE)


def _status_of(period: Any, when: When) -> RecordStatus:
    if type(period) is not dict:
        return RecordStatus.DOUBTFUL
    start, end = _time(period.get("start"), when.zone), _time(period.get("end"), when.zone)
    if start is not None and end is not None and end.latest < start.earliest:
        return RecordStatus.DOUBTFUL
    if end is not None and end.latest < when.at:
        return RecordStatus.ENDED
    if start is not None and start.earliest > when.at:
        return RecordStatus.NOT_YET
    unread = (period.get("start") is not None and start is None) or (period.get("end") is not None and end is None)
    unread = unread or any(absent.is_withheld(one) for one in (period, period.get("_start"), period.get("_end")))
    return RecordStatus.DOUBTFUL if unread else RecordStatus.IN_FORCE


def change_times(record: dict[str, Any], when: When) -> list[datetime]:
    """The moments after ``when`` at which a period of a Consent or Flag starts or ends."""
    return sorted({one for period in _periods(record) for one in _change_times(period, when.zone) if one > when.at})


def _periods(part: Any) -> Iterator[dict[str, Any]]:
    for one in part if type(part) is list else (part,):
        if type(one) is dict:
            if type(one.get("period")) is dict:
                yield one["period"]
            for name in PARTS:
                yield from _periods(one.get(name))


def _change_times(period: dict[str, Any], zone: tzinfo) -> Iterator[datetime]:
    start, end = _time(period.get("start"), zone), _time(period.get("end"), zone)
    if start is not None:
        yield start.earliest
    if end is not None:
        yield end.latest + STEP


def _time(value: Any, zone: tzinfo) -> Time | None:
    return iso_time.read(value, zone) if isinstance(value, str) else None
