"""What retiring a source would unlock and change, before it is done. Changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection

from store import documents, merge
from store.brake.loosening import loosened
from store.database import Database
from store.enterprise import Enterprise
from store.merge import Held
from store.moment import instant, interval
from store.preference import Preference, base, emr
from store.retiring.inheritance import inherit

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

    def add(self, by_authority: Mapping[str, Held], source: str, enterprise: Enterprise, now: datetime) -> None:
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


def _marked(database: Database, connection: Connection, enterprise: str, source: str) -> Iterator[dict[str, Held]]:
    last = 0
    while page := [row[0] for row in database.select(connection, MARKED, [enterprise, emr(source), last, PAGE])]:
        rows = database.select(connection, SAID, [page])
        for _, group in groupby(rows, key=lambda row: row[0]):
            yield {
                authority: Held(documents.read_assertions(text), interval(*stated), interval(*again), "", instant(since))
                for _, authority, text, *ends, since in group
                for stated, again in [(ends[:2], ends[2:])]
            }
        last = page[-1]


def _in_force(by_authority: Mapping[str, Held], enterprise: Enterprise) -> InForce:
    return merge.in_force({name: held.assertions for name, held in by_authority.items()}, enterprise)


def _value(in_force: InForce, name: str) -> object:
    found = in_force.get(name)
    return None if found is None else found.value
