"""Rows of statements whose period begins or ends later, inside transactions that the caller opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables import PatientRow
from store.db.tables_records import AheadRow
from store.domain import documents, periods
from store.domain.documents import instant, interval
from store.domain.periods import FutureStatement
from store.patients.kept_rows import KeptRows
from store.preference import PatientStatements

COLUMNS = (
    "patient_id", "authority", "record", "attribute", "due", "origin", "value", "path", "effective", "version", "evidence_id",
    "effective_latest", "mapping",
)  # fmt: skip
OF = f"SELECT {', '.join(COLUMNS)} FROM statements_ahead WHERE patient_id IN ??"
SOURCES = """SELECT DISTINCT a.authority FROM patients p JOIN statements_ahead a ON a.patient_id = p.id AND a.due <= ?
 WHERE p.enterprise = ? AND p.due <= ?"""
PATIENTS = """SELECT DISTINCT p.id FROM patients p JOIN statements_ahead a ON a.patient_id = p.id AND a.authority = ? AND a.due <= ?
 WHERE p.enterprise = ? AND p.due <= ? AND p.id > ? ORDER BY p.id LIMIT ?"""


def of(database: Database, connection: Connection, patients: Iterable[int]) -> dict[int, list[FutureStatement]]:
    """The future statements of patients. Patients without any are missing."""
    found: dict[int, list[FutureStatement]] = {}
    for row in database.select(connection, OF, [list(patients)]):
        found.setdefault(row[0], []).append(_read(row))
    return found


class FutureRows(KeptRows[FutureStatement]):
    """The future statements of the patients that one transaction touches."""

    table, columns, key = AheadRow, COLUMNS, 6

    def replace(self, patient: int, authority: str, item: PatientStatements, origin: int, *, known: bool) -> bool:
        """Replaces a patient's future statements by those of a new payload; whether they differ. ``known``: there may be some already."""
        kept = self.of(patient, known=known)
        new = periods.after(kept, item, patient, authority, origin)
        self.put(patient, new)
        return set(new) != set(kept)

    def share(self, number: int, others: Sequence[int]) -> None:
        """Splits one patient into several: each gets the future refusals, and nothing else."""
        super().share(number, others)
        self.put(number, [one for one in self.of(number) if one.refuses])

    def _written(self, patients: Sequence[int]) -> None:
        """Writes when each patient's next statement is due."""
        rows = [(min((one.due for one in self.of(patient)), default=None), patient) for patient in patients]
        self.database.update(self.transaction, PatientRow, ("id",), ("due",), rows)

    def _forget(self, *patients: int) -> None:
        found = self._read(patients)
        self._was |= {patient: found.get(patient, []) for patient in patients}
        self._now |= {patient: self._was[patient] for patient in patients}
        self._written(patients)

    def _read(self, patients: Iterable[int]) -> dict[int, list[FutureStatement]]:
        return of(self.database, self.transaction, patients)

    def _stored(self, one: FutureStatement) -> tuple[Any, ...]:
        stated = one.effective
        return (*one[:6], documents.write(one.value), one.path, stated.earliest, one.version, one.evidence_id, stated.end, one.mapping)


def sources_due(database: Database, connection: Connection, enterprise: str, now: datetime) -> list[str]:
    """The authorities with statements that are due."""
    due = database.bound(now)
    return [str(row[0]) for row in database.select(connection, SOURCES, [due, enterprise, due])]


def patients_due(
    database: Database, connection: Connection, enterprise: str, authority: str, now: datetime, last: int, many: int
) -> list[int]:
    """The next ``many`` patients after ``last`` for whom a statement of one authority is due."""
    due = database.bound(now)
    return [row[0] for row in database.select(connection, PATIENTS, [authority, due, enterprise, due, last, many])]


def _read(row: Sequence[Any]) -> FutureStatement:
    patient, authority, name, attribute, due, origin, text, path, effective, version, evidence_id, latest, mapping = row
    value = documents.as_tuples(attribute, documents.read(str(text)))
    stated = interval(effective, latest)
    return FutureStatement(patient, authority, name, attribute, instant(due), origin, value, path, stated, version, evidence_id, mapping)
