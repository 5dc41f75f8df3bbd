"""Which patients an opt-out binds: part of the model for random histories. A STOP is about a line, whatever numbers are listed later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from store.preference import PATIENT
from tests.properties.consent_events import ConsentEvent, stopped_by

Numbers = Callable[[str], set[str]]
"""The name of a record -> the numbers that any source lists for its patient."""


class BeforeMerge(NamedTuple):
    """Two patients just before their merge: their record names and their numbers."""

    sides: tuple[tuple[str, ...], tuple[str, ...]]
    numbers: tuple[set[str], set[str]]


class MergeInForce(NamedTuple):
    """A merge in force: the record names of both sides, and the numbers by which each was bound before."""

    sides: tuple[frozenset[str], frozenset[str]]
    before: tuple[set[str], set[str]]


class Owing:
    """``bound``: record name -> the events that bind it. ``ever``: the numbers that were ever listed for it. ``lost``: numbers that are no
    longer listed; a late reply from one of them still binds the record.
    """

    def __init__(self, names: Iterable[str], lines: Collection[str], members: Callable[[str], list[str]], listed: Numbers) -> None:
        self.names, self.lines, self.members, self.listed = tuple(names), lines, members, listed
        self.events: list[ConsentEvent] = []
        self.by_staff: list[ConsentEvent] = []
        self.bound: dict[str, list[ConsentEvent]] = {name: [] for name in self.names}
        self.ever: dict[str, set[str]] = {name: set() for name in self.names}
        self.lost: dict[str, set[str]] = {name: set() for name in self.names}
        self.merges: list[MergeInForce] = []

    def binding(self, name: str) -> list[ConsentEvent]:
        """The events that bind the patient of a record."""
        return [event for member in self.members(name) for event in self.bound[member]]

    def stopped(self, name: str, line: str) -> bool:
        """Whether an opt-out binds the patient for the line."""
        events = self.binding(name)
        return any(stopped_by(events, one.authority, one.number, line) for one in events)

    def may_be_stopped(self, name: str, line: str) -> bool:
        """Whether the line was ever stopped from a number that was ever listed."""
        numbers = set[str]().union(*(self.ever[one] for one in self.names))
        return any(event.opted_out and event.line in (None, line) and event.number in numbers for event in (*self.events, *self.by_staff))

    def add_staff_opt_outs(self, events: Iterable[ConsentEvent]) -> None:
        """Adds opt-outs recorded by staff. They may bind every later patient of the records."""
        self.by_staff += events

    def update_numbers(self) -> None:
        """Updates the listed numbers after an event."""
        for name in self.names:
            listed = self.listed(name)
            self.ever[name] |= listed
            self.lost[name] |= self.ever[name] - listed

    def add_reply(self, event: ConsentEvent) -> None:
        """Adds a text reply."""
        owners = {name for name in self.names if event.number in self.listed(name)}
        who = owners or {name for name in self.names if event.number in _numbers(self.binding(name))}
        who |= {name for name in self.names if event.opted_out and event.number in self.lost[name]}
        alone = len({frozenset(self.members(name)) for name in owners}) == 1
        new = {name: self._binding_events(name, event, alone) for name in who}
        for name, events in new.items():
            self.bound[name] += events
        self.events.append(event)

    def _binding_events(self, name: str, event: ConsentEvent, alone: bool) -> list[ConsentEvent]:
        numbers = _numbers(self.binding(name))
        if not event.opted_out:
            return [event._replace(number=number) for number in numbers if alone or number == event.number]
        if event.number in numbers:
            return [event]
        first = [one for one in self.events if one.number == event.number and not one.opted_out] + [event]
        return first if any(stopped_by(first, event.authority, event.number, line) for line in self.lines) else []

    def before_merge(self, survivor: str, merged: str) -> BeforeMerge:
        """The state to remember just before a merge."""
        sides = tuple(self.members(survivor)), tuple(self.members(merged))
        return BeforeMerge(sides, (self.listed(sides[0][0]), self.listed(sides[1][0])))

    def add_merge(self, before: BeforeMerge) -> None:
        """Adds a merge: both are bound by the events of either, and by those in force for a number that they no longer have."""
        bound = tuple(_numbers(event for name in side for event in self.bound[name]) for side in before.sides)
        now = self.listed(before.sides[0][0])
        for side, numbers in zip(before.sides, before.numbers, strict=True):
            for number in numbers - now:
                self.lost[side[0]].add(number)
                events = [event for event in self.events if event.number == number]
                if any(stopped_by(events, PATIENT, number, line) for line in self.lines):
                    self.bound[side[0]] += events
                    bound[before.sides.index(side)].add(number)
        self.merges.append(MergeInForce((frozenset(before.sides[0]), frozenset(before.sides[1])), (bound[0], bound[1])))

    def undo_merge(self, restored: list[str]) -> None:
        """Undoes a merge: each side keeps its earlier events, later events of its numbers, and events that fit neither side."""
        place = max(place for place, one in enumerate(self.merges) if not one.sides[1].isdisjoint(restored))
        sides, before = self.merges.pop(place)
        every = [event for side in sides for name in side for event in self.bound[name]]
        listed = [self.listed(next(iter(side))) for side in sides]
        for own, other in ((0, 1), (1, 0)):
            keeps = [
                event for event in every if event.number in before[own] | listed[own] or event.number not in listed[other] | before[other]
            ]
            for name in sides[own]:
                self.bound[name] = list(keeps)


def _numbers(events: Iterable[ConsentEvent]) -> set[str]:
    return {event.number for event in events}
