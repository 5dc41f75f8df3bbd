"""Reads the patients of a source again with the current mapping, where another mapping read them (product rule 5.8).

A patient that was read again drops out of the query, so the next run continues where one ended early.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from store.db.database import Database
from store.domain.source_codes import CodeReader
from store.patients.gating import Guard
from store.patients.patient_batch import Author
from store.patients.preferences import Preferences
from store.preference import RecordOutcome, emr

OF_SOURCE = "FROM assertions a JOIN patients p ON p.id = a.patient_id WHERE p.enterprise = ? AND p.merged_into IS NULL AND a.authority = ?"
READ_BY_ANOTHER = " AND a.codes IS NOT NULL AND substr(a.codes, 1, ?) <> ?"
COUNT = f"SELECT count(*) {OF_SOURCE}{READ_BY_ANOTHER}"
PAGE = f"SELECT a.patient_id {OF_SOURCE}{READ_BY_ANOTHER} AND a.patient_id > ? ORDER BY a.patient_id LIMIT ?"


def count_read_by_another(database: Database, connection: Connection, enterprise: str, authority: str, mapping: str) -> int:
    """How many patients of a source were read by a mapping other than this one."""
    return int(database.select(connection, COUNT, [enterprise, authority, len(mapping) + 1, f"{mapping} "])[0][0])


class Remapping:
    """Remapping of one source of one enterprise. From now on ``reader`` reads its codes."""

    def __init__(self, store: Preferences, enterprise: str, source: str, reader: CodeReader) -> None:
        self.store, self.enterprise, self.source, self.reader = store, enterprise, source, reader
        store.reads_by(source, reader)

    def outdated(self) -> int:
        """How many patients were read by another mapping."""
        with self.store.database.read() as connection:
            return count_read_by_another(self.store.database, connection, self.enterprise, emr(self.source), self.reader.mapping)

    def page(
        self, transaction: Connection, size: int, *, after: int, now: datetime, run_id: str | None = None, guard: Guard | None = None
    ) -> dict[int, str]:
        """Reads the next patients after the id ``after`` again. Returns each outcome (``applied``, ``held``, ``unchanged``), in order."""
        numbers = [row[0] for row in self.store.database.select(transaction, PAGE, [*self._parameters(), after, size])]
        work = self.store.application(transaction, self.enterprise, Author(emr(self.source), now, run_id), guard)
        patients = work.resume(numbers)
        outcomes = {number: work.read_again(patients[number]) or RecordOutcome.UNCHANGED for number in numbers}
        work.finish()
        work.write_held()
        return outcomes

    def _parameters(self) -> list[object]:
        prefix = f"{self.reader.mapping} "
        return [self.enterprise, emr(self.source), len(prefix), prefix]
