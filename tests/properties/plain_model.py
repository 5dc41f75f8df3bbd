"""A plain model of the product rules: it keeps all evidence and computes everything from it each time.

The model is independent of the store. Where the rules leave something open, the result is a :class:`Bounds`: what the store must refuse
(``must``) and what it may refuse (``may``). Numbers in the comments are rules of product section 5. Exclusions (listed in
``plain_settings``) are left open, too.
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
    Assertion,
    Bounds,
    Join,
    Merge,
    Payload,
    Step,
    Table,
    is_protected,
    read,
)
from tests.properties.plain_times import NEVER_BEFORE, When, stated

T = TypeVar("T")
Tables = Mapping[str, Mapping[str, Table]]
"""Source -> attribute -> its mapping table."""


def pair(one: str, other: str) -> frozenset[str]:
    return frozenset((one, other))


@dataclass
class Evidence:
    """Everything received up to a wave, read with the mapping of that wave (rule 8)."""

    clock: Sequence[datetime]
    tables: Tables
    sources: Sequence[str]
    payloads: list[tuple[int, datetime, Payload]] = field(default_factory=list)
    last_receipt: dict[int, int] = field(default_factory=dict)
    """Order of the first receipt of a payload -> order of its last receipt."""
    joins: dict[frozenset[str], Join] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    records: set[str] = field(default_factory=set)
    order: int = 0
    cache: dict[tuple[str, ...], Any] = field(default_factory=dict)
    """Results since the last event, which are needed more than once."""

    def receive(self, step: Step) -> None:
        """Adds one event. An identical payload is a repeat and changes nothing (rule 8)."""
        self.order += 1
        self.cache.clear()
        event, receipt = step.event, self.clock[step.wave]
        if isinstance(event, Payload) and self._identified(event):
            same = next((order for order, _, one in self.payloads if one == event), None)
            self.last_receipt[same or self.order] = self.order
            self.payloads += [] if same else [(self.order, receipt, event)]
        elif isinstance(event, Merge) and event.survivor not in self.members(event.merged):
            self.records |= {event.survivor, event.merged}
            self._join(event.survivor, event.merged, stated(event.event, event.sent, receipt))

    def _identified(self, payload: Payload) -> bool:
        """Whether it identifies a patient (rule 9). A new own identifier joins by a linking one if that patient has no own one yet."""
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
        """The records merged with this one, itself included (rule 7)."""
        return [record, *(next(iter(both - {record})) for both in self.joins if record in both)]

    def use_mappings(self, tables: Tables) -> None:
        """Uses these mappings from now on, also for earlier payloads."""
        self.tables = tables
        self.cache.clear()

    def cached(self, answer: Callable[..., T], *asked: str) -> T:
        """The result of a method, cached until the next event."""
        key = (answer.__name__, *asked)
        if key not in self.cache:
            self.cache[key] = answer(*asked)
        found: T = self.cache[key]
        return found

    def assertions(self, attribute: str, source: str, record: str) -> list[Assertion]:
        """Every statement of a source about an attribute of the patient. Absent values are not statements (rule 2)."""
        members = self.members(record)
        found: list[Assertion] = []
        table = FLAG if attribute == DECEASED else self.tables[source][attribute]
        for order, receipt, one in self.payloads:
            value = read(attribute, one, table) if one.source == source and one.record in members else NOTHING
            if value != NOTHING:
                when = stated(one.event, one.sent, receipt)
                tied = any(not when.is_after(former.when, surely=True) for former in found)
                found.append(Assertion(source, one.record, when, order, value, tied))
        return found

    def outdates(self, newer: Assertion, older: Assertion, *, surely: bool) -> bool:
        """Whether a statement is entirely later than another (rule 1), and about the same record or made since the merge.

        Excluded, L1: a statement about the same record that arrives late after a merge need not count as later. L9: nor need one that
        overlaps an earlier received statement.
        """
        if not newer.when.is_after(older.when, surely=surely):
            return False
        both = pair(newer.record, older.record)
        if not surely:
            return len(both) == 1 or newer.when.is_after(self.joins[both].when, surely=False)
        last = max(self.last_receipt[newer.order], self.last_receipt[older.order])
        joins = [one for records, one in self.joins.items() if newer.record in records and (one.order < last or records == both)]
        since = all(newer.order >= one.order and newer.when.is_after(one.when, surely=True) for one in joins)
        return since and not (joins and newer.tied)

    def newest(self, assertions: Iterable[Assertion], *, surely: bool) -> list[Assertion]:
        """The statements that no other outdates: certainly, or possibly."""
        every = list(assertions)
        return [one for one in every if not any(self.outdates(other, one, surely=not surely) for other in every)]

    def refused(self, attribute: str, record: str) -> Bounds:
        """Whether the newest statement of any source refuses (rules 3 and 4). If several may be the newest, a refusal counts (rule 1)."""
        return self.cached(self._refused, attribute, record)

    def _refused(self, attribute: str, record: str) -> Bounds:
        found = Bounds(False, False)
        for source in self.sources:
            assertions = [one for one in self.cached(self.assertions, attribute, source, record) if one.value != UNREADABLE]
            certain, possible = (self.newest(assertions, surely=surely) for surely in (True, False))
            found |= Bounds(*(any(one.value == REFUSAL[attribute] for one in assertions) for assertions in (certain, possible)))
        return found

    def unreadable(self, attribute: str, record: str) -> Bounds:
        """Whether evidence is unreadable and no newer evidence of its source is readable (section 9)."""
        return self.cached(self._unreadable, attribute, record)

    def _unreadable(self, attribute: str, record: str) -> Bounds:
        found = Bounds(False, False)
        for source in self.sources:
            found |= self._unsettled(self.cached(self.assertions, attribute, source, record))
        return found

    def _unsettled(self, assertions: Sequence[Assertion]) -> Bounds:
        found, readable = Bounds(False, False), [one for one in assertions if one.value != UNREADABLE]
        for mark in (one for one in assertions if one.value == UNREADABLE):
            found |= Bounds(*(not any(self.outdates(one, mark, surely=surely) for one in readable) for surely in (False, True)))
        return found

    def methods(self, record: str) -> set[str]:
        """Every method that may be in force, from the first source that states one (rule 5)."""
        return self.cached(self._methods, record)

    def _methods(self, record: str) -> set[str]:
        found: set[str] = set()
        for source in self.sources:
            values = self.possible(self.assertions(METHOD, source, record))
            found |= values - {UNKNOWN}
            if UNKNOWN not in values:
                return found
        return found | {UNKNOWN}

    def possible(self, assertions: Sequence[Assertion]) -> set[str]:
        """Every value of one source that may be in force: a refusal, else the last received of overlapping statements (rule 1)."""
        readable = [one for one in assertions if one.value != UNREADABLE]
        certain, candidates = self.newest(readable, surely=True), self.newest(readable, surely=False)
        if any(one.value == REFUSAL[METHOD] for one in certain):
            return {REFUSAL[METHOD]}
        candidates = self.overlapping(candidates, readable)
        return {UNKNOWN if one.value == CLEAR else one.value for one in candidates} or {UNKNOWN}

    def overlapping(self, candidates: Sequence[Assertion], every: Sequence[Assertion]) -> list[Assertion]:
        """The candidates and everything that overlaps them. Any of these may count (excluded, L2)."""
        found = list(candidates)
        for one in found:
            overlaps = [
                other for other in every if not self.outdates(one, other, surely=True) and not self.outdates(other, one, surely=True)
            ]
            found += [other for other in overlaps if other not in found and other.value != REFUSAL[METHOD]]
        return found

    def lists(self, record: str) -> dict[str, set[tuple[int, ...]]]:
        """Source -> every list of its phones that may be in force."""
        found = {}
        for source in self.sources:
            assertions = [with_own_value(one, number) for number, one in enumerate(self._listed(source, record))]
            texts = self.possible([one for one, _ in assertions])
            found[source] = {phones for one, phones in assertions if one.value in texts} | ({()} if UNKNOWN in texts else set())
        return found

    def _listed(self, source: str, record: str) -> Iterator[tuple[Assertion, tuple[int, ...]]]:
        members = self.members(record)
        for order, receipt, one in self.payloads:
            if one.source == source and one.record in members and one.phones is not None and (one.phones or not is_protected(one)):
                yield Assertion(source, one.record, stated(one.event, one.sent, receipt), order, ""), one.phones

    def numbers(self, record: str) -> tuple[set[int], set[int]]:
        """The numbers of the patient by any source: certain, and possible."""
        every = list(self.lists(record).values())
        surely = {number for lists in every for number in set.intersection(*map(set, lists))}
        return surely, {number for lists in every for phones in lists for number in phones}

    def ever(self, record: str) -> set[int]:
        """The numbers that were ever listed for the patient."""
        members = self.members(record)
        return {number for _, _, one in self.payloads if one.record in members for number in one.phones or ()}

    def phones(self, record: str) -> set[tuple[int, ...]]:
        """Every list of phones that may be in force, from the first source that states one (rule 5)."""
        return self.cached(self._phones, record)

    def _phones(self, record: str) -> set[tuple[int, ...]]:
        found: set[tuple[int, ...]] = set()
        for lists in self.lists(record).values():
            found |= lists - {()}
            if () not in lists:
                return found
        return found | {()}

    def automation(self, record: str, channel: str, addressed: Bounds) -> Bounds:
        """Whether an automation by one channel is refused (section 7). ``addressed``: whether no number may be used."""
        found = self.refused(DECEASED, record) | self.refused(DNC, record) | self.refused(f"consent.{channel}", record) | addressed
        for attribute in (DNC, DECEASED, METHOD, f"consent.{channel}"):
            found |= self.unreadable(attribute, record)
        methods = self.methods(record)
        wrong = methods - {UNKNOWN, channel}
        return found | Bounds(wrong == methods, bool(wrong))


def with_own_value(assertions: tuple[Assertion, tuple[int, ...]], number: int) -> tuple[Assertion, tuple[int, ...]]:
    """Gives a list of phones a unique name, so that it can be found again."""
    one, phones = assertions
    return one._replace(value=f"list {number}" if phones else CLEAR), phones
