"""Which numbers may be texted from which line, by product section 6 alone: the replies, and who had the number at that time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from tests.properties.plain_events import Bounds, Reply
from tests.properties.plain_model import Evidence

STOP, STOP_ALL, START = "STOP", "STOPALL", "START"


class TextReply(NamedTuple):
    """A reply. ``line`` is ``None`` for all lines. ``surely`` and ``perhaps``: the records that certainly or possibly had the number."""

    number: int
    line: int | None
    stops: bool
    at: datetime
    order: int
    is_late: bool
    surely: frozenset[str]
    perhaps: frozenset[str]

    def is_on(self, line: int) -> bool:
        return self.line in (None, line)


@dataclass
class Texts:
    """All text replies."""

    replies: list[TextReply] = field(default_factory=list)

    def receive(self, reply: Reply, evidence: Evidence, now: datetime) -> None:
        """Adds a reply. A STOP or START without a time is never older than known evidence (product rule 5.4)."""
        had = {record: evidence.numbers(record) for record in evidence.records}
        surely, perhaps = (frozenset(record for record, one in had.items() if reply.number in one[n]) for n in (0, 1))
        line = None if reply.word == STOP_ALL else reply.line
        at = now - timedelta(seconds=reply.ago or 0)
        self.replies.append(TextReply(reply.number, line, reply.word != START, at, len(self.replies), bool(reply.ago), surely, perhaps))

    def closed(self, number: int, line: int) -> bool:
        """Whether a STOP is in force for the number itself."""
        matching = [one for one in self.replies if one.number == number]
        starts = [one for one in matching if not one.stops and one.line == line]
        return any(one.stops and one.is_on(line) and not any(other.at >= one.at for other in starts) for one in matching)

    def bound(self, evidence: Evidence, record: str, line: int) -> Bounds:
        """Whether the patient's own STOP is in force, from any number that was ever listed for the patient."""
        who, numbers = set(evidence.members(record)), evidence.ever(record)
        stops = [one for one in self.replies if one.stops and one.is_on(line) and one.number in numbers]
        return Bounds(any(self._binds(one, who, line) for one in stops), any(not self._ended(one, who, line) for one in stops))

    def _binds(self, stop: TextReply, who: set[str], line: int) -> bool:
        """Whether the patient had the number at the STOP, and no later START may end it."""
        starts = [one for one in self.replies if not one.stops and one.line == line and one.at >= stop.at]
        ends = any(one.number == stop.number or one.perhaps & who for one in starts)
        return bool(stop.surely & who) and not stop.is_late and not ends

    def _ended(self, stop: TextReply, who: set[str], line: int) -> bool:
        """Whether a later START came from the same number, while only this patient had it."""
        starts = [one for one in self.replies if not one.stops and one.number == stop.number and one.line == line and not one.is_late]
        return any(one.at > stop.at and one.order > stop.order and one.surely & who and one.perhaps <= who for one in starts)


def texted(texts: Texts, evidence: Evidence, record: str, line: int) -> Bounds:
    """Whether no number may be texted."""
    lists = evidence.phones(record)
    none = all(all(texts.closed(number, line) for number in phones) for phones in lists)
    return Bounds(none, () in lists) | texts.bound(evidence, record, line)


def called(evidence: Evidence, record: str) -> Bounds:
    """Whether no number may be called."""
    lists = evidence.phones(record)
    return Bounds(lists == {()}, () in lists)
