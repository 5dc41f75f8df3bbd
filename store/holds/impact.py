"""Who would be more contactable: by what a run holds, by a changed configuration, or by retiring a source. Changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import documents, effective
from store.domain.assertions import SourceAssertions
from store.domain.contactability import permitting_changes
from store.domain.documents import instant, interval
from store.domain.enterprise import Enterprise
from store.domain.ids import shown
from store.domain.retirement import inherit
from store.preference import EMR, Preference, base, emr

EXAMPLES = 10
AT_ONCE = 1_000
PATIENTS = "SELECT id FROM patients WHERE enterprise = ? AND merged_into IS NULL AND id > ? ORDER BY id LIMIT ?"
ASSERTIONS = "SELECT patient_id, authority, assertions FROM assertions WHERE patient_id IN ?? ORDER BY patient_id"
MARKED = """SELECT a.patient_id FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE p.enterprise = ? AND p.merged_into IS NULL AND a.authority = ? AND a.patient_id > ? ORDER BY a.patient_id LIMIT ?"""
SAID = """SELECT patient_id, authority, assertions, effective, effective_latest, confirmed, confirmed_latest, since
 FROM assertions WHERE patient_id IN ??
 ORDER BY patient_id, authority"""

InForce = Mapping[str, Preference]


class Count(NamedTuple):
    """How many patients an attribute would make more contactable in one direction (``store.domain.contactability``)."""

    attribute: str
    direction: str
    patients: int


class Example(NamedTuple):
    """One change as a preview shows it: the store's own id, and no value but its direction."""

    patient: str
    attribute: str
    direction: str
    path: str
    effective: datetime


@dataclass(slots=True)
class Impact:
    """``patients`` who would be more contactable, by attribute and direction, with some examples."""

    patients: int = 0
    by_direction: Counter[tuple[str, str]] = field(default_factory=Counter)
    sample: list[Example] = field(default_factory=list)

    @property
    def counts(self) -> list[Count]:
        """As a preview shows them."""
        return [Count(*key, patients) for key, patients in sorted(self.by_direction.items())]

    def add(self, patient: int, was: InForce, directions: Mapping[str, str]) -> None:
        """One patient: what is in force, and the direction of each attribute that would change."""
        if not directions:
            return
        self.patients += 1
        self.by_direction.update({(base(name), direction) for name, direction in directions.items()})
        if len(self.sample) < EXAMPLES:
            name, direction = min(directions.items())
            evidence = was[name].assertion
            self.sample.append(Example(shown(patient), base(name), direction, evidence.path, evidence.effective.earliest))


@dataclass(slots=True)
class ConfigurationImpact:
    """``synced``: patients of any source, to compare the impact with."""

    synced: int = 0
    impact: Impact = field(default_factory=Impact)


def of_configuration(database: Database, connection: Connection, before: Enterprise, after: Enterprise) -> ConfigurationImpact:
    """If ``after`` took the place of ``before``: two configurations of one enterprise. Reads everybody once."""
    found = ConfigurationImpact()
    for patient, rows in _patients(database, connection, PATIENTS, [before.name], ASSERTIONS):
        said = {authority: documents.read_assertions(text) for _, authority, text in rows}
        found.synced += any(authority.startswith(EMR) for authority in said)
        was = effective.in_force(said, before)
        found.impact.add(patient, was, permitting_changes(was, effective.in_force(said, after), was))
    return found


@dataclass(slots=True)
class RetirementImpact:
    """``attributes``: patients by attribute that the source masters. ``changes``: those where another source's value comes into force."""

    patients: int = 0
    attributes: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    impact: Impact = field(default_factory=Impact)

    def add(self, patient: int, was: InForce, will: InForce) -> None:
        """One patient of the source."""
        self.patients += 1
        self.changes.update({base(name) for name in was.keys() | will.keys() if _value(was, name) != _value(will, name)})
        self.impact.add(patient, was, permitting_changes(was, will, was))


def of_retirement(database: Database, connection: Connection, enterprise: Enterprise, source: str, now: datetime) -> RetirementImpact:
    """If a source was retired: all patients that it has stated anything about."""
    found, authority = RetirementImpact(), emr(source)
    for patient, rows in _patients(database, connection, MARKED, [enterprise.name, authority], SAID):
        said = {row[1]: _source_assertions(row) for row in rows}
        found.attributes.update({base(name) for name in said[authority].assertions})
        found.add(patient, _in_force(said, enterprise), _in_force(inherit(said, authority, source, enterprise, now), enterprise))
    return found


def _patients(database: Database, connection: Connection, page: str, which: list[Any], rows: str) -> Iterator[tuple[int, list[Any]]]:
    """The patients of a query with their rows, some at a time."""
    last = 0
    while numbers := [row[0] for row in database.select(connection, page, [*which, last, AT_ONCE])]:
        for patient, group in groupby(database.select(connection, rows, [numbers]), key=lambda row: row[0]):
            yield int(patient), list(group)
        last = numbers[-1]


def _source_assertions(row: Any) -> SourceAssertions:
    _, _, text, effective, effective_latest, confirmed, confirmed_latest, since = row
    stated, again = interval(effective, effective_latest), interval(confirmed, confirmed_latest)
    return SourceAssertions(documents.read_assertions(text), stated, again, "", instant(since))


def _in_force(by_authority: Mapping[str, SourceAssertions], enterprise: Enterprise) -> InForce:
    return effective.in_force({name: held.assertions for name, held in by_authority.items()}, enterprise)


def _value(in_force: InForce, name: str) -> object:
    found = in_force.get(name)
    return None if found is None else found.value
