"""What a merge owes: whose opt-out of which number it displaced, so that the patient is not texted at another one instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from store.preference import PATIENT, PatientMerge
from tests.properties.evidence import Evidence
from tests.properties.post import LINES, NAMES
from tests.properties.words import Word, stopped_by

Owed = frozenset[tuple[str, str]]
"""(authority, number)."""
NOTHING: Owed = frozenset()


class About(NamedTuple):
    """What two records owe that are about to become one, each by its name; with what stands for the numbers that they have."""

    owed: dict[str, Owed]
    displaced: Owed


class Owing:
    """Beside the evidence. ``owed`` is by name of a record; those of one patient owe the same."""

    def __init__(self, evidence: Evidence, on_file: Callable[[str], set[str]]) -> None:
        self.evidence, self.on_file = evidence, on_file
        self.owed: dict[str, Owed] = {}
        self.alone: list[tuple[frozenset[str], dict[str, Owed]]] = []
        """Of each merge that stands: its records, and what each of them owed before."""

    def of(self, name: str) -> Owed:
        """What a patient owes."""
        return self.owed.get(name, NOTHING)

    def about(self, merge: PatientMerge | None) -> About:
        """What is to be looked at just before a merge."""
        if merge is None:
            return About({}, NOTHING)
        names = [*self.evidence.members(merge.survivor[0].value), *self.evidence.members(merge.merged[0].value)]
        return About({name: self.of(name) for name in names}, frozenset(one for name in names for one in self._refused(name)))

    def joined(self, merge: PatientMerge, before: About) -> None:
        """From now on both owe what either did, and what stands for a number that they do not have any more."""
        name = merge.survivor[0].value
        on_file = self.on_file(name)
        self.alone.append((frozenset(self.evidence.members(name)), before.owed))
        owed = before.displaced.union(*before.owed.values())
        self._set(name, frozenset(one for one in owed if one[1] not in on_file))

    def parted(self, restored: list[str]) -> None:
        """A merge was undone: each record owes again what it did before, but for what was taken back since."""
        place = max(place for place, (names, _) in enumerate(self.alone) if not names.isdisjoint(restored))
        _, before = self.alone.pop(place)
        self.owed |= before

    def replied(self, number: str, line: str, body: str, when: float) -> None:
        """START from a number on file pays what the patient's own words owe; from a displaced one, what that number's words do."""
        self.evidence.words.append(Word(PATIENT, number, None if body == "STOPALL" else line, body != "START", when))
        if body != "START":
            return
        everybody = {name for name in NAMES if number in self.on_file(name)}
        for name in everybody:
            self._forgive(name, lambda owed: owed[0] == PATIENT)
        if not everybody and not any(stopped_by(self.evidence.words, PATIENT, number, one) for one in LINES):
            for name in NAMES:
                self._forgive(name, lambda owed: owed == (PATIENT, number))

    def _forgive(self, name: str, paid: Callable[[tuple[str, str]], bool]) -> None:
        self._set(name, frozenset(one for one in self.of(name) if not paid(one)))
        for _, before in self.alone:
            for member in set(before) & set(self.evidence.members(name)):
                before[member] = frozenset(one for one in before[member] if not paid(one))

    def _refused(self, name: str) -> Owed:
        words = self.evidence.words
        authorities = {word.authority for word in words}
        return frozenset(
            (who, number)
            for number in self.on_file(name)
            for who in authorities
            if any(stopped_by(words, who, number, line) for line in LINES)
        )

    def _set(self, name: str, owed: Owed) -> None:
        self.owed |= dict.fromkeys(self.evidence.members(name), owed)
