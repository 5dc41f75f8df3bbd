"""Whom opt-outs bind: the model beside which random histories run. A STOP is about a line, whatever numbers come later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from store.preference import PATIENT
from tests.properties.words import Word, stopped_by

Numbers = Callable[[str], set[str]]
"""The name of a record -> the numbers that any source lists for its patient."""


class About(NamedTuple):
    """Two records just before they become one: the names of each patient, and their numbers."""

    sides: tuple[tuple[str, ...], tuple[str, ...]]
    numbers: tuple[set[str], set[str]]


class Joined(NamedTuple):
    """A merge that stands: the names of both, and the numbers by which each was bound before."""

    sides: tuple[frozenset[str], frozenset[str]]
    before: tuple[set[str], set[str]]


class Owing:
    """``bound`` is what was said that binds a record, by its name. ``ever``: the numbers that were ever listed for it; ``lost``: those
    that are not any more: a reply of before that arrives now is theirs too.
    """

    def __init__(self, names: Iterable[str], lines: Collection[str], members: Callable[[str], list[str]], listed: Numbers) -> None:
        self.names, self.lines, self.members, self.listed = tuple(names), lines, members, listed
        self.words: list[Word] = []
        self.by_staff: list[Word] = []
        self.bound: dict[str, list[Word]] = {name: [] for name in self.names}
        self.ever: dict[str, set[str]] = {name: set() for name in self.names}
        self.lost: dict[str, set[str]] = {name: set() for name in self.names}
        self.joins: list[Joined] = []

    def of(self, name: str) -> list[Word]:
        """What binds the patient that the record is."""
        return [word for member in self.members(name) for word in self.bound[member]]

    def stopped(self, name: str, line: str) -> bool:
        """Whether the patient is bound not to be texted from the line."""
        words = self.of(name)
        return any(stopped_by(words, one.authority, one.number, line) for one in words)

    def may_be_stopped(self, name: str, line: str) -> bool:
        """Whether anybody ever stopped the line from a number that was ever the patient's."""
        numbers = set[str]().union(*(self.ever[one] for one in self.names))
        return any(word.opted_out and word.line in (None, line) and word.number in numbers for word in (*self.words, *self.by_staff))

    def recorded(self, words: Iterable[Word]) -> None:
        """Staff recorded opt-outs. They may bind whoever the records become."""
        self.by_staff += words

    def seen(self) -> None:
        """Something happened: numbers may have come."""
        for name in self.names:
            self.ever[name] |= self.listed(name)
            self.lost[name] |= self.ever[name] - self.listed(name)

    def replied(self, word: Word) -> None:
        """A patient texts."""
        owners = {name for name in self.names if word.number in self.listed(name)}
        who = owners or {name for name in self.names if word.number in _numbers(self.of(name))}
        who |= {name for name in self.names if word.opted_out and word.number in self.lost[name]}
        alone = len({frozenset(self.members(name)) for name in owners}) == 1
        heard = {name: self._heard(name, word, alone) for name in who}
        for name, words in heard.items():
            self.bound[name] += words
        self.words.append(word)

    def _heard(self, name: str, word: Word, alone: bool) -> list[Word]:
        numbers = _numbers(self.of(name))
        if not word.opted_out:
            return [word._replace(number=number) for number in numbers if alone or number == word.number]
        if word.number in numbers:
            return [word]
        first = [one for one in self.words if one.number == word.number and not one.opted_out] + [word]
        return first if any(stopped_by(first, word.authority, word.number, line) for line in self.lines) else []

    def about(self, survivor: str, merged: str) -> About:
        """What is to be looked at just before a merge."""
        sides = tuple(self.members(survivor)), tuple(self.members(merged))
        return About(sides, (self.listed(sides[0][0]), self.listed(sides[1][0])))

    def joined(self, before: About) -> None:
        """From now on both are bound by what either was, and by what stands for a number that the two do not have any more."""
        bound = tuple(_numbers(word for name in side for word in self.bound[name]) for side in before.sides)
        now = self.listed(before.sides[0][0])
        for side, numbers in zip(before.sides, before.numbers, strict=True):
            for number in numbers - now:
                self.lost[side[0]].add(number)
                words = [word for word in self.words if word.number == number]
                if any(stopped_by(words, PATIENT, number, line) for line in self.lines):
                    self.bound[side[0]] += words
                    bound[before.sides.index(side)].add(number)
        self.joins.append(Joined((frozenset(before.sides[0]), frozenset(before.sides[1])), (bound[0], bound[1])))

    def parted(self, restored: list[str]) -> None:
        """A merge was undone: each keeps what bound it before, what its numbers said since, and what nobody can place."""
        place = max(place for place, one in enumerate(self.joins) if not one.sides[1].isdisjoint(restored))
        sides, before = self.joins.pop(place)
        every = [word for side in sides for name in side for word in self.bound[name]]
        listed = [self.listed(next(iter(side))) for side in sides]
        for mine, other in ((0, 1), (1, 0)):
            keeps = [
                word for word in every if word.number in before[mine] | listed[mine] or word.number not in listed[other] | before[other]
            ]
            for name in sides[mine]:
                self.bound[name] = list(keeps)


def _numbers(words: Iterable[Word]) -> set[str]:
    return {word.number for word in words}
