"""All patients of a source whom another mapping read, read again by today's, some at a time (product rule 5.8).

Whoever was read again is not among them any more, so a run that ended early is gone on with by the next.
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

OTHERS = "FROM assertions a JOIN patients p ON p.id = a.patient_id WHERE p.enterprise = ? AND p.merged_into IS NULL AND a.authority = ?"
READ_BY_ANOTHER = " AND a.codes IS NOT NULL AND substr(a.codes, 1, ?) <> ?"
COUNT = f"SELECT count(*) {OTHERS}{READ_BY_ANOTHER}"
PAGE = f"SELECT a.patient_id {OTHERS}{READ_BY_ANOTHER} AND a.patient_id > ? ORDER BY a.patient_id LIMIT ?"


def read_by_another(database: Database, connection: Connection, enterprise: str, authority: str, mapping: str) -> int:
    """How many patients another mapping than this one read."""
    return int(database.select(connection, COUNT, [enterprise, authority, len(mapping) + 1, f"{mapping} "])[0][0])


class Remapping:
    """One source of one enterprise, which ``reader`` reads from now on."""

    def __init__(self, store: Preferences, enterprise: str, source: str, reader: CodeReader) -> None:
        self.store, self.enterprise, self.source, self.reader = store, enterprise, source, reader
        store.reads_by(source, reader)

    def waiting(self) -> int:
        """How many patients another mapping read."""
        with self.store.database.read() as connection:
            return read_by_another(self.store.database, connection, self.enterprise, emr(self.source), self.reader.mapping)

    def page(
        self, transaction: Connection, size: int, *, after: int, now: datetime, run_id: str | None = None, guard: Guard | None = None
    ) -> dict[int, str]:
        """Reads the next patients behind ``after`` again: what became of each (``applied``, ``held``, ``unchanged``), in order."""
        numbers = [row[0] for row in self.store.database.select(transaction, PAGE, [*self._parameters(), after, size])]
        work = self.store.application(transaction, self.enterprise, Author(emr(self.source), now, run_id), guard)
        opened = work.resume(numbers)
        outcomes = {number: work.read_again(opened[number]) or RecordOutcome.UNCHANGED for number in numbers}
        work.finish()
        if work.gate is not None:
            work.gate.write()
        return outcomes

    def _parameters(self) -> list[object]:
        named = f"{self.reader.mapping} "
        return [self.enterprise, emr(self.source), len(named), named]
