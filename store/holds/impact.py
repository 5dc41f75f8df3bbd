"""What retiring a source would unlock and change, before it is done. Changes nothing.

How many patients a changed configuration would make more contactable, before it is in force. Reads everybody of an enterprise once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import assertions, documents
from store.domain.assertions import SourceAssertions
from store.domain.contactability import loosened
from store.domain.documents import instant, interval
from store.domain.enterprise import Enterprise
from store.domain.ids import shown
from store.domain.retirement import inherit
from store.holds.held_changes import Count, Example
from store.preference import EMR, Assertion, Preference, base, emr

EXAMPLES = 10
AT_ONCE = 1_000
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
        was = assertions.in_force(said, before)
        _add(found, patient, was, loosened(was, assertions.in_force(said, after), was))
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
    while page := [row[0] for row in database.select(connection, PATIENTS, [enterprise, last, AT_ONCE])]:
        rows = database.select(connection, ASSERTIONS, [page])
        for patient, group in groupby(rows, key=lambda row: row[0]):
            yield patient, {authority: documents.read_assertions(text) for _, authority, text in group}
        last = page[-1]


PAGE = 1_000
MARKED = """SELECT a.patient_id FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE p.enterprise = ? AND p.merged_into IS NULL AND a.authority = ? AND a.patient_id > ? ORDER BY a.patient_id LIMIT ?"""
SAID = """SELECT patient_id, authority, assertions, effective, effective_latest, confirmed, confirmed_latest, since
 FROM assertions WHERE patient_id IN ??
 ORDER BY patient_id, authority"""

InForce = Mapping[str, Preference]


@dataclass(slots=True)
class Outlook:
    """``attributes``: patients by attribute that the source masters. ``changes``: those where another source's value comes into force.

    ``loosens``: of these, by attribute and direction, who would be more contactable (a method "none", a phone replaced).
    """

    patients: int = 0
    attributes: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    loosens: Counter[str] = field(default_factory=Counter)

    def add(self, by_authority: Mapping[str, SourceAssertions], source: str, enterprise: Enterprise, now: datetime) -> None:
        """One patient of the source."""
        self.patients += 1
        self.attributes.update({base(name) for name in by_authority[emr(source)].assertions})
        was = _in_force(by_authority, enterprise)
        will = _in_force(inherit(by_authority, emr(source), source, enterprise, now), enterprise)
        self.changes.update({base(name) for name in was.keys() | will.keys() if _value(was, name) != _value(will, name)})
        self.loosens.update({f"{base(name)} {direction}" for name, direction in loosened(was, will, was).items()})


def outlook(database: Database, connection: Connection, enterprise: Enterprise, source: str, now: datetime) -> Outlook:
    """All patients that the source has stated anything about."""
    found = Outlook()
    for by_authority in _marked(database, connection, enterprise.name, source):
        found.add(by_authority, source, enterprise, now)
    return found


def _marked(database: Database, connection: Connection, enterprise: str, source: str) -> Iterator[dict[str, SourceAssertions]]:
    last = 0
    while page := [row[0] for row in database.select(connection, MARKED, [enterprise, emr(source), last, PAGE])]:
        rows = database.select(connection, SAID, [page])
        for _, group in groupby(rows, key=lambda row: row[0]):
            yield {
                authority: SourceAssertions(documents.read_assertions(text), interval(*stated), interval(*again), "", instant(since))
                for _, authority, text, *ends, since in group
                for stated, again in [(ends[:2], ends[2:])]
            }
        last = page[-1]


def _in_force(by_authority: Mapping[str, SourceAssertions], enterprise: Enterprise) -> InForce:
    return assertions.in_force({name: held.assertions for name, held in by_authority.items()}, enterprise)


def _value(in_force: InForce, name: str) -> object:
    found = in_force.get(name)
    return None if found is None else found.value
