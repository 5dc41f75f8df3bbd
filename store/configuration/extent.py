"""How many patients a changed configuration would make more contactable, before it is in force. Reads everybody of an enterprise once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from sqlalchemy import Connection

from store import documents, merge
from store.brake.held import Count, Example
from store.brake.loosening import loosened
from store.database import Database
from store.enterprise import Enterprise
from store.ids import shown
from store.preference import EMR, Assertion, Preference, base

EXAMPLES = 10
PAGE = 1_000
PATIENTS = "SELECT id FROM patients WHERE enterprise = ? AND merged_into IS NULL AND id > ? ORDER BY id LIMIT ?"
ASSERTIONS = "SELECT patient_id, authority, assertions FROM assertions WHERE patient_id IN ?? ORDER BY patient_id"

ByAuthority = Mapping[str, Mapping[str, Assertion]]


@dataclass(slots=True)
class Extent:
    """``synced``: patients of any source; ``loosened``: those who would be more contactable, counted by attribute and direction."""

    synced: int = 0
    loosened: int = 0
    by_direction: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)

    @property
    def counts(self) -> list[Count]:
        """As a preview shows them."""
        return [Count(*key, patients) for key, patients in sorted(self.by_direction.items())]


def extent(database: Database, connection: Connection, before: Enterprise, after: Enterprise) -> Extent:
    """What would loosen if ``after`` took the place of ``before``: two configurations of one enterprise."""
    found = Extent()
    for patient, said in _everybody(database, connection, before.name):
        found.synced += any(authority.startswith(EMR) for authority in said)
        was = merge.in_force(said, before)
        _add(found, patient, was, loosened(was, merge.in_force(said, after), was))
    return found


def _add(found: Extent, patient: int, was: Mapping[str, Preference], directions: Mapping[str, str]) -> None:
    if not directions:
        return
    found.loosened += 1
    found.by_direction.update({(base(name), direction) for name, direction in directions.items()})
    if len(found.examples) < EXAMPLES:
        name, direction = min(directions.items())
        evidence = was[name].assertion
        found.examples.append(Example(shown(patient), base(name), direction, evidence.path, evidence.effective.earliest))


def _everybody(database: Database, connection: Connection, enterprise: str) -> Iterator[tuple[int, ByAuthority]]:
    last = 0
    while page := [row[0] for row in database.select(connection, PATIENTS, [enterprise, last, PAGE])]:
        rows = database.select(connection, ASSERTIONS, [page])
        for patient, group in groupby(rows, key=lambda row: row[0]):
            yield patient, {authority: documents.read_assertions(text) for _, authority, text in group}
        last = page[-1]
