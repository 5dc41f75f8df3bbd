"""Reads and writes what the records of patients refuse, inside transactions that the caller opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store import documents
from store.database import Database
from store.moment import interval
from store.periods.period_tables import RefusalRow
from store.periods.refusals import Refusal

COLUMNS = (
    "patient_id", "authority", "record", "attribute", "origin", "value", "path", "effective", "version", "evidence_id",
    "effective_latest", "mapping",
)  # fmt: skip
KEY = COLUMNS[:5]
OF = f"SELECT {', '.join(COLUMNS)} FROM record_refusals WHERE patient_id IN ??"
MOVE = "UPDATE record_refusals SET patient_id = {survivor} WHERE patient_id = {merged}"
RETURN = "UPDATE record_refusals SET patient_id = {merged} WHERE patient_id = {survivor} AND origin IN ({origins})"


def of(database: Database, connection: Connection, patients: Iterable[int]) -> dict[int, list[Refusal]]:
    """What records refuse, by patient. Who has no such record is missing."""
    found: dict[int, list[Refusal]] = {}
    for row in database.select(connection, OF, [list(patients)]):
        found.setdefault(row[0], []).append(_read(row))
    return found


class RefusalRows:
    """What the records of the patients refuse that one transaction touches. Changes are written by :meth:`write`."""

    def __init__(self, database: Database, transaction: Connection) -> None:
        self.database, self.transaction = database, transaction
        self._was: dict[int, list[Refusal]] = {}
        self._now: dict[int, list[Refusal]] = {}

    def of(self, patient: int, *, known: bool = True) -> list[Refusal]:
        """What is kept of a patient as it is now. ``known``: something may be kept already."""
        if patient not in self._now:
            self._was[patient] = of(self.database, self.transaction, [patient]).get(patient, []) if known else []
            self._now[patient] = self._was[patient]
        return self._now[patient]

    def put(self, patient: int, those: Sequence[Refusal]) -> None:
        """From now on this is what is kept of a patient."""
        self.of(patient)
        self._now[patient] = list(those)

    def move(self, survivor: int, merged: int) -> None:
        """Two patients are one: what a record of either refuses, it refuses of both."""
        self.write()
        self.transaction.exec_driver_sql(MOVE.format(survivor=survivor, merged=merged))
        self._forget(survivor, merged)

    def give_back(self, survivor: int, merged: int, origins: Sequence[int], since: datetime) -> None:
        """They are two again. Who was meant by what was stated ``since`` they met is not known: both refuse it."""
        self.write()
        both = [one for one in self.of(survivor) if one.refuses and one.effective.latest >= since]
        numbers = ", ".join(str(number) for number in origins)
        self.transaction.exec_driver_sql(RETURN.format(survivor=survivor, merged=merged, origins=numbers))
        owners = [(one, (merged, survivor)[one.origin in origins]) for one in both]
        self.database.upsert(
            self.transaction, RefusalRow, COLUMNS, [_stored(one._replace(patient_id=other, origin=other)) for one, other in owners]
        )
        self._forget(survivor, merged)

    def share(self, number: int, others: Sequence[int]) -> None:
        """One patient turned out to be several: each of them refuses it."""
        for other in others:
            self.of(other, known=False)
            self.put(other, [one._replace(patient_id=other, origin=other) for one in self.of(number) if one.refuses])

    def write(self) -> None:
        """Writes what changed."""
        changed = [patient for patient, now in self._now.items() if set(now) != set(self._was[patient])]
        gone = [one[:5] for patient in changed for one in self._was[patient] if one not in self._now[patient]]
        new = [_stored(one) for patient in changed for one in self._now[patient] if one not in self._was[patient]]
        if changed:
            self.database.delete(self.transaction, RefusalRow, KEY, gone)
            self.database.upsert(self.transaction, RefusalRow, COLUMNS, new)
        for patient in changed:
            self._was[patient] = self._now[patient]

    def _forget(self, *patients: int) -> None:
        for patient in patients:
            self._was.pop(patient, None)
            self._now.pop(patient, None)


def _stored(one: Refusal) -> tuple[Any, ...]:
    stated = one.effective
    return (*one[:5], documents.write(one.value), one.path, stated.earliest, one.version, one.evidence_id, stated.end, one.mapping)


def _read(row: Sequence[Any]) -> Refusal:
    patient, authority, name, attribute, origin, text, path, effective, version, evidence_id, latest, mapping = row
    value = documents.listed(attribute, documents.read(str(text)))
    return Refusal(patient, authority, name, attribute, origin, value, path, interval(effective, latest), version, evidence_id, mapping)
