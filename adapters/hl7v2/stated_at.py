"""When a message was stated (product rule 5.1): EVN-2, else MSH-7, or in the order that a source sets (``time_from``). Pure.

EVN-2 is when the event was recorded, MSH-7 when the message was made; PID-33, when the record was last changed, only breaks ties
(HL7 v2.9 chapters 2 and 3). A time without an offset is in that of MSH-7, which is the same sender's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

from adapters.hl7v2 import timestamp
from adapters.hl7v2.reader import DELETE, Message
from store import times
from store.preference import Problem
from store.times import Time

EVENT, SENT, UPDATED = "EVN-2", "MSH-7", "PID-33"
ORDER = (EVENT, SENT)
PLACES = (EVENT, SENT, UPDATED)


class StatedAt(NamedTuple):
    """``version`` is PID-33 in whole seconds, 0 where it is not known to the second."""

    effective: Time
    version: int
    problems: tuple[Problem, ...]


def read(message: Message, updated: str, zone: tzinfo, received: datetime, undated: datetime, order: Sequence[str] = ORDER) -> StatedAt:
    """When a message was stated. ``updated`` is PID-33 as it came; ``undated``: the latest that it can have been without a time."""
    component = message.delimiters.component
    texts = {
        EVENT: message.field("EVN", 2).partition(component)[0],
        SENT: message.field("MSH", 7).partition(component)[0],
        UPDATED: updated.partition(component)[0],
    }
    zone = timestamp.offset(texts[SENT]) or zone
    effective, problems = _first(texts, order, zone, undated)
    if times.is_ahead(effective, received):
        problems.append(Problem("time_in_future", "", "the sender's clock or time zone is wrong, or ours; what refuses counts"))
    return StatedAt(effective, _version(timestamp.time(texts[UPDATED], zone)) if texts[UPDATED] else 0, tuple(problems))


def _first(texts: dict[str, str], order: Sequence[str], zone: tzinfo, undated: datetime) -> tuple[Time, list[Problem]]:
    """The first time that is there. Where it cannot be read, the next one says until when it can have been."""
    problems: list[Problem] = []
    for place in order:
        text = texts[place].strip()
        if not text or text == DELETE:
            continue
        found = timestamp.time(text, zone)
        if found is not None:
            return times.unknown(found.latest) if problems else found, problems
        problems.append(Problem("time_unreadable", place, "it is no time stamp (YYYYMMDDHHMMSS); what refuses counts"))
    return times.unknown(undated), problems


def _version(updated: Time | None) -> int:
    if updated is None or updated.latest - updated.earliest >= times.SECOND:
        return 0
    return int(updated.earliest.timestamp())
