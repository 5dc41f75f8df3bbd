"""Finds patients that today's identity rules would not join, shows what a split changes, and splits them (product rule 5.9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import Audit
from store.domain.identifiers import KnownIdentifier, Naming
from store.domain.ids import shown
from store.domain.lock import Actor
from store.domain.strangers import Strangers, strangers
from store.patients import patient_state
from store.patients.apply import Application
from store.patients.duplicate_detection import OF_PATIENTS
from store.patients.patient_batch import Author
from store.patients.patient_state import PatientState
from store.patients.preferences import Preferences
from store.patients.splitting import Splitting
from store.preference import STAFF, Identifier, base

SPLIT = "split_patient"
PAGE = 2_000
PATIENTS = "SELECT id FROM patients WHERE enterprise = ? AND merged_into IS NULL AND id > ? ORDER BY id LIMIT ?"
COUNT = "SELECT count(*) FROM patients WHERE enterprise = ? AND merged_into IS NULL"
WAITING = "SELECT DISTINCT patient_id FROM held_statements WHERE state = 'held' AND patient_id IN ??"
MERGED = "other records were merged into it: undo the merge first (emr-sync unmerge)"
HELD = "it has changes awaiting review: decide them first"

OnProgress = Callable[[int, int], None]


class Joined(NamedTuple):
    """A patient that today's rules would not join, and what a split changes.

    ``kept``: refusals that each part keeps; ``returning``: those of them that were lifted since, perhaps by the other's evidence.
    ``unknown``: attributes that nobody can assign. ``left_out``: identifiers that come again with the next payload. ``blocked``: why the
    split has to wait.
    """

    id: str
    why: str
    parts: tuple[tuple[Identifier, ...], ...]
    left_out: tuple[Identifier, ...]
    kept: tuple[str, ...]
    returning: tuple[str, ...]
    unknown: tuple[str, ...]
    blocked: str


class IdentityCheck:
    """The check of one enterprise."""

    def __init__(self, store: Preferences, enterprise: str) -> None:
        self.store, self.database, self.enterprise = store, store.database, store.enterprises[enterprise]
        self.sources: Sequence[Naming] = [self.enterprise.naming(one.name) for one in self.enterprise.sources]

    def find(self, only: Iterable[int] = (), on_progress: OnProgress = lambda done, total: None) -> list[Joined]:
        """All patients that today's rules would not join, or those among ``only``. Changes nothing."""
        with self.database.read() as connection:
            wanted = list(only)
            total = len(wanted) or self.database.select(connection, COUNT, [self.enterprise.name])[0][0]
            found, done = [], 0
            for page in [wanted] if wanted else self._pages(connection):
                found += self._of(connection, page)
                done += len(page)
                on_progress(done, total)
        return found

    def split(self, number: int, *, actor: Actor, now: datetime) -> list[str]:
        """Splits a patient; returns the new store ids. Empty if it is one person, or cannot be split yet."""
        with self.database.write(self.enterprise.name) as transaction:
            found = next(iter(self._of(transaction, [number])), None)
            parts = self._several(transaction, [number])[1].get(number)
            if found is None or found.blocked or parts is None:
                return []
            author = Author(STAFF, now, actor=str(actor), reason="identifiers that would not be linked today")
            work = Application(self.database, transaction, self.enterprise, author, self.store.ids)
            everybody = [shown(one) for one in Splitting(work).run(number, parts.parts)]
            audit = Audit(self.database)
            audit.changed(transaction, self.enterprise.name, SPLIT, found.id, actor=author.actor, now=now, into=everybody, why=found.why)
            return everybody

    def _pages(self, connection: Connection) -> Iterator[list[int]]:
        after = 0
        while page := [number for (number,) in self.database.select(connection, PATIENTS, [self.enterprise.name, after, PAGE])]:
            yield page
            after = page[-1]

    def _several(self, connection: Connection, patients: list[int]) -> tuple[dict[int, list[KnownIdentifier]], dict[int, Strangers]]:
        """The identifiers by the record that they came with, and the records that would be several patients today."""
        records: dict[int, list[KnownIdentifier]] = {}
        for row in (KnownIdentifier(*one) for one in self.database.select(connection, OF_PATIENTS, [patients])):
            records.setdefault(row.origin, []).append(row)
        return records, {record: one for record, own in records.items() if (one := strangers(own, self.sources)) is not None}

    def _of(self, connection: Connection, patients: list[int]) -> list[Joined]:
        records, several = self._several(connection, patients)
        if not several:
            return []
        now = {row.patient for record in several for row in records[record]}
        opens = patient_state.read(self.database, connection, self.enterprise.basis, sorted(now))
        waiting = {number for (number,) in self.database.select(connection, WAITING, [sorted(now)])}
        return [self._joined(connection, records[record], one, opens, waiting) for record, one in sorted(several.items())]

    def _joined(
        self, connection: Connection, rows: list[KnownIdentifier], found: Strangers, opens: dict[int, PatientState], waiting: set[int]
    ) -> Joined:
        patient = opens[rows[0].patient]
        author = Author(STAFF, patient.created)
        kept = Splitting(Application(self.database, connection, self.enterprise, author, self.store.ids)).kept(patient)
        stays = {name: one.value for asserted in kept.values() for name, one in asserted.items()}
        had = {
            (authority, name): one.value for authority, asserted in patient.asserted.items() for name, one in asserted.assertions.items()
        }
        returning = {
            name for authority, asserted in kept.items() for name, one in asserted.items() if had.get((authority, name)) != one.value
        }
        unknown = {name for (_, name), value in had.items() if value is not None and name not in stays}
        blocked = MERGED if patient.lineage is not None else HELD if patient.id in waiting else ""
        assigned = [row for part in found.parts for row in part]
        left_out = tuple(_identifier(row) for row in rows if row not in assigned)
        parts = tuple(tuple(_identifier(row) for row in part) for part in found.parts)
        names = _sorted(stays), _sorted(returning), _sorted(unknown)
        return Joined(shown(patient.id), found.why, parts, left_out, *names, blocked)


def _identifier(row: KnownIdentifier) -> Identifier:
    return Identifier(row.authority, row.type, row.value)


def _sorted(attributes: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({base(name) for name in attributes}))
