"""Numbers that a merge took off a patient while texts to them were refused.

The merge keeps such a refusal as a denial of the joined record (``store.merging.joining``). Whoever said STOP from a number may still say
START from it, though nobody has it on file any more: then the denial goes, unless another of these numbers still refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from store import documents
from store.consent import TOPIC
from store.database import Database
from store.merging.merge_tables import DisplacedNumberRow
from store.preference import PATIENT
from store.texting.word import standing

KEY = ("enterprise", "number", "patient_id")
DISPLACED_FROM = "SELECT patient_id FROM displaced_numbers WHERE enterprise = ? AND number = ?"
ON_FILE = "SELECT 1 FROM patient_phones WHERE enterprise = ? AND number = ?"
SURVIVOR = """WITH RECURSIVE up(id, merged_into) AS (SELECT id, merged_into FROM patients WHERE id IN ??
 UNION SELECT p.id, p.merged_into FROM patients p JOIN up ON p.id = up.merged_into)
 SELECT id FROM up WHERE merged_into IS NULL"""
NUMBERS = """WITH RECURSIVE records(id) AS (SELECT id FROM patients WHERE id = ?
 UNION SELECT p.id FROM patients p JOIN records ON p.merged_into = records.id)
 SELECT d.number, w.words FROM displaced_numbers d JOIN records ON records.id = d.patient_id
 JOIN sms_words w ON w.enterprise = d.enterprise AND w.number = d.number"""


class DisplacedNumbers:
    """The displaced numbers of one enterprise, inside a transaction that the caller opened."""

    def __init__(self, database: Database, transaction: Connection, enterprise: str) -> None:
        self.database, self.transaction, self.enterprise = database, transaction, enterprise

    def keep(self, patient: int, numbers: Iterable[str]) -> None:
        """A merge took these numbers off the patient."""
        rows = [(self.enterprise, number, patient) for number in sorted(set(numbers))]
        self.database.upsert(self.transaction, DisplacedNumberRow, KEY, rows)

    def return_to(self, patient: int, numbers: Iterable[str]) -> None:
        """The merge was undone, and the patient has these numbers again."""
        rows = [(self.enterprise, number, patient) for number in sorted(set(numbers))]
        self.database.delete(self.transaction, DisplacedNumberRow, KEY, rows)

    def released_by(self, number: str) -> list[int]:
        """The patients whose denial rests on this number's refusal alone, which was just taken back.

        Where the number is on file of somebody, it may have moved to another person, and lifts nothing here.
        """
        if self._select(ON_FILE, [self.enterprise, number]):
            return []
        records = [record for (record,) in self._select(DISPLACED_FROM, [self.enterprise, number])]
        found = [patient for (patient,) in self._select(SURVIVOR, [records])] if records else []
        return [patient for patient in found if not self._still_refuses(patient)]

    def _still_refuses(self, patient: int) -> bool:
        words = [one for _, text in self._select(NUMBERS, [patient]) for one in standing(documents.read_words(text))]
        return any(one.authority == PATIENT and one.scope != TOPIC for one in words)

    def _select(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self.database.select(self.transaction, sql, parameters)
