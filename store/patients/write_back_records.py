"""The records of patients that opt-outs are written into: after a merge several, each a record of the EMR (``store.domain.write_back``)."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.domain.identifiers import OWN, KnownIdentifier
from store.domain.write_back import by_record
from store.patients.duplicate_detection import OF_PATIENTS
from store.preference import Identifier

INTO = "SELECT id, merged_into FROM patients WHERE id IN ??"

Records = dict[int, list[KnownIdentifier]]
"""Record -> its identifiers."""


class PatientRecords:
    """The records of some patients."""

    def __init__(self, database: Database, connection: Connection, patients: Iterable[int]) -> None:
        wanted = sorted(patients)
        rows = [KnownIdentifier(*row) for row in database.select(connection, OF_PATIENTS, [wanted])] if wanted else []
        merged = sorted({row.origin for row in rows if row.origin != row.patient})
        into: dict[int, int | None] = dict(database.select(connection, INTO, [merged])) if merged else {}
        known: dict[int, list[KnownIdentifier]] = {patient: [] for patient in wanted}
        for row in rows:
            known[row.patient].append(row)
        self.of: dict[int, Records] = {patient: by_record(ones, into) for patient, ones in known.items()}

    def record(self, patient: int, record: int) -> int:
        """The record as the EMR has it: the one that has the identifiers of ``record``."""
        found = self.of[patient]
        return next((key for key, names in found.items() if any(one.origin == record for one in names)), record)

    def written(self, patient: int, enterprise: Enterprise, source: Source) -> list[int]:
        """The records into which a source writes; the patient's own if it knows none by an identifier, so that a person sees that."""
        naming = enterprise.naming(source.name)

        def names(known: KnownIdentifier) -> bool:
            one = Identifier(known.authority, known.type, known.value)
            return naming.is_record_id(one) if source.writes_record_ids else not source.patient_id or naming.kind(one) == OWN

        return sorted(record for record, known in self.of[patient].items() if any(map(names, known))) or [patient]

    def all(self, patient: int) -> set[int]:
        """Every record of a patient."""
        return {patient, *self.of[patient], *(one.origin for known in self.of[patient].values() for one in known)}
