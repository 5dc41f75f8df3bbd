"""The rules of the product, written down as plainly as they can be: all evidence is kept, and everything is computed from it each time.

Nothing here knows how the store works. Where the rules leave something open the answer is a :class:`Bounds` with room in it: what the
store must refuse (``must``) and what it may refuse (``may``). Numbers in the comments are rules of product section 5. What is excluded
(``plain_settings`` has the list) is left open, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from typing import Any, TypeVar

from tests.properties.plain_events import (
    CLEAR,
    DECEASED,
    DNC,
    FLAG,
    METHOD,
    NOTHING,
    REFUSAL,
    UNKNOWN,
    UNREADABLE,
    Bounds,
    Join,
    Merge,
    Payload,
    Said,
    Step,
    Table,
    is_protected,
    read,
)
from tests.properties.plain_times import NEVER_BEFORE, When, stated

T = TypeVar("T")
Tables = Mapping[str, Mapping[str, Table]]
"""Source -> attribute -> how it is read."""


def pair(one: str, other: str) -> frozenset[str]:
    return frozenset((one, other))


@dataclass
class Evidence:
    """Everything that was received until some wave, read by the mapping of that wave (rule 8)."""

    clock: Sequence[datetime]
    tables: Tables
    sources: Sequence[str]
    payloads: list[tuple[int, datetime, Payload]] = field(default_factory=list)
    heard: dict[int, int] = field(default_factory=dict)
    """When a payload was received at first, in order -> when at last."""
    joins: dict[frozenset[str], Join] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    records: set[str] = field(default_factory=set)
    order: int = 0
    answers: dict[tuple[str, ...], Any] = field(default_factory=dict)
    """What was answered since the last event: it is asked more than once."""

    def hear(self, step: Step) -> None:
        """Adds one event. An identical payload is a repeat, and changes nothing (rule 8)."""
        self.order += 1
        self.answers.clear()
        event, receipt = step.event, self.clock[step.wave]
        if isinstance(event, Payload) and self._identified(event):
            same = next((order for order, _, one in self.payloads if one == event), None)
            self.heard[same or self.order] = self.order
            self.payloads += [] if same else [(self.order, receipt, event)]
        elif isinstance(event, Merge) and event.survivor not in self.members(event.merged):
            self.records |= {event.survivor, event.merged}
            self._join(event.survivor, event.merged, stated(event.event, event.sent, receipt))

    def _identified(self, payload: Payload) -> bool:
        """Whether it is about anybody (rule 9): a new own identifier joins by a linking one, but not a patient who has another own one."""
        record, link = payload.record, payload.linked
        known = self.links.get(link) if link.startswith("N") else None
        if record not in self.records:
            if known is not None and any(one[0] == record[0] for one in self.members(known)):
                return False
            if known is not None:
                self._join(record, known, NEVER_BEFORE)
        self.records.add(record)
        if link.startswith("N"):
            self.links.setdefault(link, record)
        return True

    def _join(self, one: str, other: str, when: When) -> None:
        for left, right in product(self.members(one), self.members(other)):
            self.joins[pair(left, right)] = Join(when, self.order)

    def members(self, record: str) -> list[str]:
        """The records that are one with this one (rule 7)."""
        return [record, *(next(iter(both - {record})) for both in self.joins if record in both)]

    def read_as(self, tables: Tables) -> None:
        """From now on these mappings read, also what came before."""
        self.tables = tables
        self.answers.clear()

    def once(self, answer: Callable[..., T], *asked: str) -> T:
        """The answer, worked out once only."""
        key = (answer.__name__, *asked)
        if key not in self.answers:
            self.answers[key] = answer(*asked)
        found: T = self.answers[key]
        return found

    def said(self, attribute: str, source: str, record: str) -> list[Said]:
        """Every statement of a source about an attribute of the patient. What says nothing is none (rule 2)."""
        members = self.members(record)
        found: list[Said] = []
        table = FLAG if attribute == DECEASED else self.tables[source][attribute]
        for order, receipt, one in self.payloads:
            value = read(attribute, one, table) if one.source == source and one.record in members else NOTHING
            if value != NOTHING:
                when = stated(one.event, one.sent, receipt)
                tied = any(not when.is_after(former.when, surely=True) for former in found)
                found.append(Said(source, one.record, when, order, value, tied))
        return found

    def outdates(self, newer: Said, older: Said, *, surely: bool) -> bool:
        """Whether a statement is entirely later than another (rule 1), and about the same record, or made since the records are one.

        Excluded, L1: what came late after a merge, of one and the same record, need not count as the later one. L9: nor need what
        overlaps something that was received before it.
        """
        if not newer.when.is_after(older.when, surely=surely):
            return False
        both = pair(newer.record, older.record)
        if not surely:
            return len(both) == 1 or newer.when.is_after(self.joins[both].when, surely=False)
        last = max(self.heard[newer.order], self.heard[older.order])
        joins = [one for records, one in self.joins.items() if newer.record in records and (one.order < last or records == both)]
        since = all(newer.order >= one.order and newer.when.is_after(one.when, surely=True) for one in joins)
        return since and not (joins and newer.tied)

    def newest(self, said: Iterable[Said], *, surely: bool) -> list[Said]:
        """Those that no other outdates: for certain, or at all."""
        every = list(said)
        return [one for one in every if not any(self.outdates(other, one, surely=not surely) for other in every)]

    def refused(self, attribute: str, record: str) -> Bounds:
        """Whether the newest of any source refuses (rules 3 and 4); of several that may be the newest a refusal counts (rule 1)."""
        return self.once(self._refused, attribute, record)

    def _refused(self, attribute: str, record: str) -> Bounds:
        found = Bounds(False, False)
        for source in self.sources:
            said = [one for one in self.once(self.said, attribute, source, record) if one.value != UNREADABLE]
            certain, possible = (self.newest(said, surely=surely) for surely in (True, False))
            found |= Bounds(*(any(one.value == REFUSAL[attribute] for one in them) for them in (certain, possible)))
        return found

    def unreadable(self, attribute: str, record: str) -> Bounds:
        """Whether evidence could not be read and no newer one of that source could (section 9)."""
        return self.once(self._unreadable, attribute, record)

    def _unreadable(self, attribute: str, record: str) -> Bounds:
        found = Bounds(False, False)
        for source in self.sources:
            found |= self._unsettled(self.once(self.said, attribute, source, record))
        return found

    def _unsettled(self, said: Sequence[Said]) -> Bounds:
        found, readable = Bounds(False, False), [one for one in said if one.value != UNREADABLE]
        for mark in (one for one in said if one.value == UNREADABLE):
            found |= Bounds(*(not any(self.outdates(one, mark, surely=surely) for one in readable) for surely in (False, True)))
        return found

    def methods(self, record: str) -> set[str]:
        """Every method that may be in force: of the first source that states one (rule 5)."""
        return self.once(self._methods, record)

    def _methods(self, record: str) -> set[str]:
        found: set[str] = set()
        for source in self.sources:
            values = self.possible(self.said(METHOD, source, record))
            found |= values - {UNKNOWN}
            if UNKNOWN not in values:
                return found
        return found | {UNKNOWN}

    def possible(self, said: Sequence[Said]) -> set[str]:
        """Every value of one source that may be in force: a refusal counts, else what was received last of what overlaps (rule 1)."""
        readable = [one for one in said if one.value != UNREADABLE]
        certain, candidates = self.newest(readable, surely=True), self.newest(readable, surely=False)
        if any(one.value == REFUSAL[METHOD] for one in certain):
            return {REFUSAL[METHOD]}
        candidates = self.overlapping(candidates, readable)
        return {UNKNOWN if one.value == CLEAR else one.value for one in candidates} or {UNKNOWN}

    def overlapping(self, candidates: Sequence[Said], every: Sequence[Said]) -> list[Said]:
        """Excluded, L2: of methods or lists that overlap, and of what overlaps those, any may count."""
        found = list(candidates)
        for one in found:
            met = [other for other in every if not self.outdates(one, other, surely=True) and not self.outdates(other, one, surely=True)]
            found += [other for other in met if other not in found and other.value != REFUSAL[METHOD]]
        return found

    def lists(self, record: str) -> dict[str, set[tuple[int, ...]]]:
        """Source -> every list of phones of it that may be in force."""
        found = {}
        for source in self.sources:
            said = [replace_value(one, number) for number, one in enumerate(self._listed(source, record))]
            texts = self.possible([one for one, _ in said])
            found[source] = {phones for one, phones in said if one.value in texts} | ({()} if UNKNOWN in texts else set())
        return found

    def _listed(self, source: str, record: str) -> Iterator[tuple[Said, tuple[int, ...]]]:
        members = self.members(record)
        for order, receipt, one in self.payloads:
            if one.source == source and one.record in members and one.phones is not None and (one.phones or not is_protected(one)):
                yield Said(source, one.record, stated(one.event, one.sent, receipt), order, ""), one.phones

    def numbers(self, record: str) -> tuple[set[int], set[int]]:
        """The numbers that the patient has by any source: for certain, and perhaps."""
        every = list(self.lists(record).values())
        surely = {number for lists in every for number in set.intersection(*map(set, lists))}
        return surely, {number for lists in every for phones in lists for number in phones}

    def ever(self, record: str) -> set[int]:
        """The numbers that were ever listed for the patient."""
        members = self.members(record)
        return {number for _, _, one in self.payloads if one.record in members for number in one.phones or ()}

    def phones(self, record: str) -> set[tuple[int, ...]]:
        """Every list of phones that may be in force: of the first source that states one (rule 5)."""
        return self.once(self._phones, record)

    def _phones(self, record: str) -> set[tuple[int, ...]]:
        found: set[tuple[int, ...]] = set()
        for lists in self.lists(record).values():
            found |= lists - {()}
            if () not in lists:
                return found
        return found | {()}

    def automation(self, record: str, channel: str, addressed: Bounds) -> Bounds:
        """Whether an automation by one channel is refused (section 7). ``addressed``: whether there is no number that may be used."""
        found = self.refused(DECEASED, record) | self.refused(DNC, record) | self.refused(f"consent.{channel}", record) | addressed
        for attribute in (DNC, DECEASED, METHOD, f"consent.{channel}"):
            found |= self.unreadable(attribute, record)
        methods = self.methods(record)
        wrong = methods - {UNKNOWN, channel}
        return found | Bounds(wrong == methods, bool(wrong))


def replace_value(said: tuple[Said, tuple[int, ...]], number: int) -> tuple[Said, tuple[int, ...]]:
    """A list of phones under a name of its own, so that it can be found again."""
    one, phones = said
    return one._replace(value=f"list {number}" if phones else CLEAR), phones
