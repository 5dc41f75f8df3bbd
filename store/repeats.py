"""Payloads whose content stands already: nothing of the patient is read or written but when it was said again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from store import seen
from store.database import Database
from store.identity import Directory
from store.moment import instant
from store.preference import PatientStatements
from store.tables import AssertionRow

FIND = """SELECT i.value, i.authority, i.type, i.patient_id, p.basis, a.content, a.confirmed, a.seen, i.origin
 FROM identifiers i JOIN patients p ON p.id = i.patient_id
 LEFT JOIN assertions a ON a.patient_id = i.patient_id AND a.authority = ?
 WHERE i.enterprise = ? AND i.value IN ??"""


class Standing(NamedTuple):
    """What is known of a patient and one authority without having read the patient."""

    basis: str
    content: str | None
    confirmed: datetime | str | None
    seen: str

    def is_said_by(self, digest: str, basis: str) -> bool:
        """Whether a payload of that digest says what stands, and it is in force for the present configuration."""
        return self.content == digest and self.basis == basis


class Found:
    """Who the payloads of a batch are about, and what stands of them."""

    def __init__(
        self, database: Database, transaction: Connection, enterprise: str, authority: str, items: Sequence[PatientStatements]
    ) -> None:
        values = list({identifier.value for item in items for identifier in item.identifiers})
        self._rows = database.select(transaction, FIND, [authority, enterprise, values])
        self.directory = Directory(row[:4] for row in self._rows)
        self.standing = {row[3]: Standing(row[4], row[5], row[6], row[7] or "") for row in self._rows}

    def origins(self) -> Directory:
        """The records that the identifiers first belonged to, before any merge."""
        return Directory((*row[:3], row[8]) for row in self._rows)


class Repeats:
    """The repeats of one batch of one authority."""

    def __init__(self, authority: str, now: datetime) -> None:
        self.authority, self.now = authority, now
        self._found: dict[int, Standing] = {}

    def hear(self, patient: int, standing: Standing, item: PatientStatements, digest: str) -> None:
        """One payload says again what stands of a patient."""
        known = self._found.get(patient, standing)
        line = seen.remember(known.seen, seen.key(digest, item.effective, item.version, item.evidence_id))
        confirmed = item.effective
        if known.confirmed is not None:
            confirmed = max(confirmed, instant(known.confirmed))
        self._found[patient] = Standing(known.basis, known.content, confirmed, line)

    def write(self, database: Database, transaction: Connection) -> None:
        """Says of each patient that it was heard again, and for which time."""
        rows = [(one.confirmed, one.seen, self.now, patient, self.authority) for patient, one in self._found.items()]
        database.update(transaction, AssertionRow, ("patient_id", "authority"), ("confirmed", "seen", "last_heard"), rows)
