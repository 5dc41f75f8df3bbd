"""Determines when a message was stated (product rule 5.1): EVN-2, otherwise MSH-7, or the order configured in ``time_from``. Pure.

EVN-2 is the time at which the event was recorded, MSH-7 the time at which the message was created. PID-33, the time of the last change of
the record, only breaks ties (HL7 v2.9 chapters 2 and 3). A time without an offset uses the offset of MSH-7, which has the same sender.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta, timezone, tzinfo
from typing import NamedTuple

from adapters.base import Payload
from adapters.hl7v2 import timestamp
from adapters.hl7v2.reader import DELETE, Message
from store import times
from store.preference import Problem
from store.times import Time

EVENT, SENT, UPDATED = "EVN-2", "MSH-7", "PID-33"
ORDER = (EVENT, SENT)
UNREADABLE = "it is not a timestamp (YYYYMMDDHHMMSS[+-ZZZZ]); only refusals apply"
NO_TIME = {"", DELETE}
_EAST, _WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
_ABSENT = times.unknown(times.BEGINNING)


class StatedAt(NamedTuple):
    """The time of a message. ``version`` is PID-33 in seconds since 1970; 0 if it is not known to the second."""

    effective: Time
    version: int
    problems: tuple[Problem, ...]


def read(message: Message, payload: Payload, updated: str, zone: tzinfo, order: Sequence[str] = ORDER) -> StatedAt:
    """The time of a message. ``updated`` is PID-33 as received."""
    component = message.delimiters.component
    changed = updated.partition(component)[0]
    texts = {
        EVENT: message.field("EVN", 2).partition(component)[0].strip(),
        SENT: message.header[7].partition(component)[0].strip(),
        UPDATED: changed if changed.strip("0 ") else "",  # zeros: how some write an empty one
    }
    zone = timestamp.offset(texts[SENT]) or zone
    read = {text: timestamp.time(text, zone) for text in {*texts.values()} - NO_TIME}  # they are often the same
    effective, problems = read.get(texts[order[0]]), []
    if effective is None or not all(read.values()):
        found = {place: read[text] for place, text in texts.items() if text in read}
        problems = [Problem("time_unreadable", place, UNREADABLE) for place, time in found.items() if time is None]
        effective = _effective(_in_any_zone(found, texts) if found.get(SENT, _ABSENT) is None else found, order, payload)
    if times.is_ahead(effective, payload.received):
        problems.append(Problem("time_in_future", "", "the sender's clock or time zone, or ours, is wrong; only refusals apply"))
    return StatedAt(effective, _version(read.get(texts[UPDATED])), tuple(problems))


def _effective(found: Mapping[str, Time | None], order: Sequence[str], payload: Payload) -> Time:
    """The first time present. If it is unreadable, the next readable one is its upper bound."""
    present = [found[place] for place in order if place in found]
    readable = next((time for time in present if time is not None), None)
    if readable is None:
        return times.unknown(payload.undated)
    return readable if present[0] is not None else times.unknown(readable.latest)


def _in_any_zone(found: Mapping[str, Time | None], texts: Mapping[str, str]) -> dict[str, Time | None]:
    """The times if MSH-7 gives no offset: a time without an offset may be in any time zone."""
    return {place: time and _in_any_offset(texts[place], time) for place, time in found.items()}


def _in_any_offset(text: str, time: Time) -> Time:
    """The period that covers the time in every time zone; unchanged if it has an offset."""
    if timestamp.offset(text) is not None:
        return time
    first, last = timestamp.time(text, _EAST), timestamp.time(text, _WEST)
    return Time(first.earliest, last.latest) if first and last else time


def _version(updated: Time | None) -> int:
    if updated is None or updated.latest - updated.earliest >= times.SECOND:
        return 0
    return int(updated.earliest.timestamp())
