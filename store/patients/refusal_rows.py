"""Rows of refusals by single records (Consents, Flags), inside transactions that the caller opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_records import RefusalRow
from store.domain import documents
from store.domain.documents import interval
from store.domain.record_refusals import RecordRefusal
from store.patients.kept_rows import KeptRows

COLUMNS = (
    "patient_id", "authority", "record", "attribute", "origin", "value", "path", "effective", "version", "evidence_id",
    "effective_latest", "mapping",
)  # fmt: skip
OF = f"SELECT {', '.join(COLUMNS)} FROM record_refusals WHERE patient_id IN ??"


def of(database: Database, connection: Connection, patients: Iterable[int]) -> dict[int, list[RecordRefusal]]:
    """The refusals of patients' records. Patients without any are missing."""
    found: dict[int, list[RecordRefusal]] = {}
    for row in database.select(connection, OF, [list(patients)]):
        found.setdefault(row[0], []).append(_read(row))
    return found


class RefusalRows(KeptRows[RecordRefusal]):
    """The refusals of records of the patients that one transaction touches."""

    table, columns, key = RefusalRow, COLUMNS, 5

    def _read(self, patients: Iterable[int]) -> dict[int, list[RecordRefusal]]:
        return of(self.database, self.transaction, patients)

    def _stored(self, one: RecordRefusal) -> tuple[Any, ...]:
        stated = one.effective
        return (*one[:5], documents.write(one.value), one.path, stated.earliest, one.version, one.evidence_id, stated.end, one.mapping)


def _read(row: Sequence[Any]) -> RecordRefusal:
    patient, authority, name, attribute, origin, text, path, effective, version, evidence_id, latest, mapping = row
    value = documents.as_tuples(attribute, documents.read(str(text)))
    return RecordRefusal(
        patient, authority, name, attribute, origin, value, path, interval(effective, latest), version, evidence_id, mapping
    )
