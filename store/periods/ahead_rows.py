"""Reads and writes what is ahead of patients, inside transactions that the caller opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store import documents
from store.database import Database
from store.moment import instant, interval
from store.periods import ahead
from store.periods.ahead import Ahead
from store.periods.period_tables import AheadRow
from store.preference import PatientStatements
from store.tables import PatientRow

COLUMNS = (
    "patient_id", "authority", "record", "attribute", "due", "origin", "value", "path", "effective", "version", "evidence_id",
    "effective_latest", "mapping",
)  # fmt: skip
KEY = COLUMNS[:6]
OF = f"SELECT {', '.join(COLUMNS)} FROM statements_ahead WHERE patient_id IN ??"
MOVE = "UPDATE statements_ahead SET patient_id = {survivor} WHERE patient_id = {merged}"
RETURN = "UPDATE statements_ahead SET patient_id = {merged} WHERE patient_id = {survivor} AND origin IN ({origins})"
SOURCES = """SELECT DISTINCT a.authority FROM patients p JOIN statements_ahead a ON a.patient_id = p.id AND a.due <= ?
 WHERE p.enterprise = ? AND p.due <= ?"""
PATIENTS = """SELECT DISTINCT p.id FROM patients p JOIN statements_ahead a ON a.patient_id = p.id AND a.authority = ? AND a.due <= ?
 WHERE p.enterprise = ? AND p.due <= ? AND p.id > ? ORDER BY p.id LIMIT ?"""


def of(database: Database, connection: Connection, patients: Iterable[int]) -> dict[int, list[Ahead]]:
    """What is ahead, by patient. Who has nothing ahead is missing."""
    found: dict[int, list[Ahead]] = {}
    for row in database.select(connection, OF, [list(patients)]):
        found.setdefault(row[0], []).append(_read(row))
    return found


class AheadRows:
    """What is ahead of the patients that one transaction touches. Changes are written by :meth:`write`."""

    def __init__(self, database: Database, transaction: Connection) -> None:
        self.database, self.transaction = database, transaction
        self._was: dict[int, list[Ahead]] = {}
        self._now: dict[int, list[Ahead]] = {}

    def hear(self, patient: int, authority: str, item: PatientStatements, origin: int, *, known: bool) -> bool:
        """A payload about a patient; whether something else is ahead by it. ``known``: the patient has something ahead already."""
        if not known and patient not in self._now:
            self._was[patient] = []
        kept = self.ahead(patient)
        new = ahead.after(kept, item, patient, authority, origin)
        self._now[patient] = new
        return set(new) != set(kept)

    def ahead(self, patient: int) -> list[Ahead]:
        """What is ahead of a patient as it is now."""
        if patient not in self._now:
            if patient not in self._was:
                self._was[patient] = of(self.database, self.transaction, [patient]).get(patient, [])
            self._now[patient] = self._was[patient]
        return self._now[patient]

    def put(self, patient: int, those: Sequence[Ahead]) -> None:
        """From now on this is what is ahead of a patient."""
        self.ahead(patient)
        self._now[patient] = list(those)

    def move(self, survivor: int, merged: int) -> None:
        """Two patients are one: what is ahead of either is ahead of both."""
        self.write()
        self.transaction.exec_driver_sql(MOVE.format(survivor=survivor, merged=merged))
        self._forget(survivor, merged)

    def give_back(self, survivor: int, merged: int, origins: Sequence[int], since: datetime) -> None:
        """They are two again. Who was meant by what was stated ``since`` they met is not known: what will stop contact is ahead of both."""
        self.write()
        both = [one for one in self.ahead(survivor) if one.refuses and one.effective.latest >= since]
        numbers = ", ".join(str(number) for number in origins)
        self.transaction.exec_driver_sql(RETURN.format(survivor=survivor, merged=merged, origins=numbers))
        owners = [(one, (merged, survivor)[one.origin in origins]) for one in both]
        copies = [_stored(one._replace(patient_id=other, origin=other)) for one, other in owners]
        self.database.upsert(self.transaction, AheadRow, COLUMNS, copies)
        self._forget(survivor, merged)

    def share(self, number: int, others: Sequence[int]) -> None:
        """One patient turned out to be several: what will stop contact is ahead of each of them, and nothing else."""
        stays = [one for one in self.ahead(number) if one.refuses]
        self.put(number, stays)
        for other in others:
            self._was[other] = []
            self._now[other] = [one._replace(patient_id=other, origin=other) for one in stays]

    def write(self) -> None:
        """Writes what changed, and when each of those patients is due."""
        changed = [patient for patient, now in self._now.items() if set(now) != set(self._was[patient])]
        if not changed:
            return
        gone = [one[:6] for patient in changed for one in self._was[patient] if one not in self._now[patient]]
        new = [_stored(one) for patient in changed for one in self._now[patient] if one not in self._was[patient]]
        self.database.delete(self.transaction, AheadRow, KEY, gone)
        self.database.upsert(self.transaction, AheadRow, COLUMNS, new)
        rows = [(min((one.due for one in self._now[patient]), default=None), patient) for patient in changed]
        self.database.update(self.transaction, PatientRow, ("id",), ("due",), rows)
        for patient in changed:
            self._was[patient] = self._now[patient]

    def _forget(self, *patients: int) -> None:
        found = of(self.database, self.transaction, patients)
        rows = []
        for patient in patients:
            self._was[patient] = self._now[patient] = found.get(patient, [])
            rows.append((min((one.due for one in self._now[patient]), default=None), patient))
        self.database.update(self.transaction, PatientRow, ("id",), ("due",), rows)


def sources_due(database: Database, connection: Connection, enterprise: str, now: datetime) -> list[str]:
    """The authorities of whose statements something is due."""
    then = database.bound(now)
    return [str(row[0]) for row in database.select(connection, SOURCES, [then, enterprise, then])]


def patients_due(
    database: Database, connection: Connection, enterprise: str, authority: str, now: datetime, last: int, many: int
) -> list[int]:
    """The next patients behind ``last`` of whom something is due by one authority."""
    then = database.bound(now)
    return [row[0] for row in database.select(connection, PATIENTS, [authority, then, enterprise, then, last, many])]


def _stored(one: Ahead) -> tuple[Any, ...]:
    stated = one.effective
    return (*one[:6], documents.write(one.value), one.path, stated.earliest, one.version, one.evidence_id, stated.end, one.mapping)


def _read(row: Sequence[Any]) -> Ahead:
    patient, authority, name, attribute, due, origin, text, path, effective, version, evidence_id, latest, mapping = row
    value = documents.listed(attribute, documents.read(str(text)))
    stated = interval(effective, latest)
    return Ahead(patient, authority, name, attribute, instant(due), origin, value, path, stated, version, evidence_id, mapping)
