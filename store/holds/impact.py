"""Which patients a held run, a changed configuration or a retired source would make more contactable. Changes nothing."""

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
PAGE_SIZE = 1_000
PATIENTS = "SELECT id FROM patients WHERE enterprise = ? AND merged_into IS NULL AND id > ? ORDER BY id LIMIT ?"
ASSERTIONS = "SELECT patient_id, authority, assertions FROM assertions WHERE patient_id IN ?? ORDER BY patient_id"
OF_SOURCE = """SELECT a.patient_id FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE p.enterprise = ? AND p.merged_into IS NULL AND a.authority = ? AND a.patient_id > ? ORDER BY a.patient_id LIMIT ?"""
SOURCE_ASSERTIONS = """SELECT patient_id, authority, assertions, effective, effective_latest, confirmed, confirmed_latest, since
 FROM assertions WHERE patient_id IN ??
 ORDER BY patient_id, authority"""

InForce = Mapping[str, Preference]


class PatientCount(NamedTuple):
    """How many patients a change of one attribute in one direction would make more contactable (``store.domain.contactability``)."""

    attribute: str
    direction: str
    patients: int


class Example(NamedTuple):
    """One change as a preview shows it: the store's own patient id, the direction, and no value."""

    patient: str
    attribute: str
    direction: str
    path: str
    effective: datetime


@dataclass(slots=True)
class Impact:
    """How many patients would be more contactable, in all and by attribute and direction, with some examples."""

    patients: int = 0
    by_direction: Counter[tuple[str, str]] = field(default_factory=Counter)
    sample: list[Example] = field(default_factory=list)

    @property
    def counts(self) -> list[PatientCount]:
        """The counts in the order of a preview."""
        return [PatientCount(*key, patients) for key, patients in sorted(self.by_direction.items())]

    def add(self, patient: int, before: InForce, directions: Mapping[str, str]) -> None:
        """Adds one patient: what is in force, and the direction of each attribute that would change."""
        if not directions:
            return
        self.patients += 1
        self.by_direction.update({(base(name), direction) for name, direction in directions.items()})
        if len(self.sample) < EXAMPLES:
            name, direction = min(directions.items())
            evidence = before[name].assertion
            self.sample.append(Example(shown(patient), base(name), direction, evidence.path, evidence.effective.earliest))


@dataclass(slots=True)
class ConfigurationImpact:
    """The impact of a changed configuration. ``synced``: the number of patients of any source, to compare it with."""

    synced: int = 0
    impact: Impact = field(default_factory=Impact)


def configuration_impact(database: Database, connection: Connection, before: Enterprise, after: Enterprise) -> ConfigurationImpact:
    """The impact if ``after`` replaced ``before``, two configurations of one enterprise. Reads all patients once."""
    found = ConfigurationImpact()
    for patient, rows in _patients(database, connection, PATIENTS, [before.name], ASSERTIONS):
        by_authority = {authority: documents.read_assertions(text) for _, authority, text in rows}
        found.synced += any(authority.startswith(EMR) for authority in by_authority)
        current = effective.in_force(by_authority, before)
        found.impact.add(patient, current, permitting_changes(current, effective.in_force(by_authority, after), current))
    return found


@dataclass(slots=True)
class RetirementImpact:
    """The impact of retiring a source.

    ``attributes``: patients by attribute that the source masters. ``changes``: those where another source's value comes into force.
    """

    patients: int = 0
    attributes: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    impact: Impact = field(default_factory=Impact)

    def add(self, patient: int, before: InForce, after: InForce) -> None:
        """Adds one patient of the source."""
        self.patients += 1
        self.changes.update({base(name) for name in before.keys() | after.keys() if _value(before, name) != _value(after, name)})
        self.impact.add(patient, before, permitting_changes(before, after, before))


def retirement_impact(database: Database, connection: Connection, enterprise: Enterprise, source: str, now: datetime) -> RetirementImpact:
    """The impact if a source was retired, on all patients that it has stated anything about."""
    found, authority = RetirementImpact(), emr(source)
    for patient, rows in _patients(database, connection, OF_SOURCE, [enterprise.name, authority], SOURCE_ASSERTIONS):
        before = {row[1]: _source_assertions(row) for row in rows}
        found.attributes.update({base(name) for name in before[authority].assertions})
        after = inherit(before, authority, source, enterprise, now)
        found.add(patient, _in_force(before, enterprise), _in_force(after, enterprise))
    return found


def _patients(database: Database, connection: Connection, page: str, parameters: list[Any], rows: str) -> Iterator[tuple[int, list[Any]]]:
    """The patients of the query ``page`` with their ``rows``, read in groups."""
    last = 0
    while numbers := [row[0] for row in database.select(connection, page, [*parameters, last, PAGE_SIZE])]:
        for patient, group in groupby(database.select(connection, rows, [numbers]), key=lambda row: row[0]):
            yield int(patient), list(group)
        last = numbers[-1]


def _source_assertions(row: Any) -> SourceAssertions:
    _, _, text, effective, effective_latest, confirmed, confirmed_latest, since = row
    time, confirmed_time = interval(effective, effective_latest), interval(confirmed, confirmed_latest)
    return SourceAssertions(documents.read_assertions(text), time, confirmed_time, "", instant(since))


def _in_force(by_authority: Mapping[str, SourceAssertions], enterprise: Enterprise) -> InForce:
    return effective.in_force({name: held.assertions for name, held in by_authority.items()}, enterprise)


def _value(in_force: InForce, name: str) -> object:
    found = in_force.get(name)
    return None if found is None else found.value
