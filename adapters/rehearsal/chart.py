"""Records what changed in the rehearsal EMR, and when. Memory does not grow with the population.

Patients are divided into ``GROUPS`` groups by index. One tick changes one group, so the state of all patients is one revision and one
time per group, and the patients changed since a time are computed without a scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import NamedTuple

from adapters.rehearsal.population import InventedPerson, Population

GROUPS = 25
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class ChartEntry(NamedTuple):
    """The current record of a patient in the EMR."""

    person: InventedPerson
    updated: datetime
    written: int = 0  # changes by other systems

    @property
    def version(self) -> int:
        return self.person.revision + 1 + self.written


class Chart:
    """The population over time. Safe to read while another thread calls ``tick``."""

    def __init__(self, population: Population, clock: Clock = utc_now) -> None:
        self.population, self.clock = population, clock
        self._lock = Lock()
        self._ticks = 0
        started = clock()
        self._groups = [(0, started - timedelta(hours=group + 1)) for group in range(GROUPS)]
        self._removed: dict[int, datetime] = {}
        self._denied: dict[int, datetime] = {}

    def tick(self) -> range:
        """Changes one preference of every patient of the next group; returns their indexes."""
        with self._lock:
            group = self._ticks % min(GROUPS, max(self.population.size, 1))
            self._ticks += 1
            revision, _ = self._groups[group]
            self._groups[group] = (revision + 1, self.clock())
        return range(group, self.population.size, GROUPS)

    def deny_texts(self, index: int) -> None:
        """Records that the patient does not want texts, as another system wrote it. Later ticks do not change that."""
        with self._lock:
            self._denied.setdefault(index, self.clock())

    def remove(self, index: int) -> None:
        """Deletes the patient's record."""
        self._removed[index] = self.clock()

    def is_removed(self, index: int) -> bool:
        return index in self._removed

    def removed(self, since: datetime) -> list[int]:
        """The patients whose record was deleted at or after a time."""
        return [index for index, at in self._removed.items() if at >= since]

    def entry(self, index: int) -> ChartEntry:
        """The current record of a patient. ``IndexError`` if there is no such patient."""
        revision, updated = self._groups[index % GROUPS]
        person, denied = self.population.person(index, revision), self._denied.get(index)
        if denied is None:
            return ChartEntry(person, updated)
        return ChartEntry(replace(person, texting_ok=False), max(updated, denied), written=1)

    def indexes(self, matches: Callable[[datetime], bool], start: int = 0) -> Iterator[int]:
        """The patients whose last change matches, in order, from ``start`` on."""
        groups = {group for group, (_, updated) in enumerate(self._groups) if matches(updated)}
        denied = {index for index, at in dict(self._denied).items() if matches(at)}
        every = range(start, self.population.size)
        return (index for index in every if (index % GROUPS in groups or index in denied) and index not in self._removed)

    def count(self, matches: Callable[[datetime], bool]) -> int:
        """The number of patients whose last change matches."""
        groups = {group for group, (_, updated) in enumerate(self._groups) if matches(updated)}
        total = sum(len(range(group, self.population.size, GROUPS)) for group in groups)
        total += sum(matches(at) and index % GROUPS not in groups for index, at in dict(self._denied).items())
        return total - sum(1 for index in self._removed if index % GROUPS in groups)
