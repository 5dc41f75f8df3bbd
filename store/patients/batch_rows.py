"""The rows of a batch, written in as many statements as there are tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables import AssertionRow, ChangeRow, IdentifierRow, PatientRow, PhoneRow, SearchRow
from store.domain import search_entry
from store.domain.enterprise import Enterprise
from store.domain.identifiers import Directory, KnownIdentifier
from store.patients.patient_state import ASSERTION_COLUMNS, PATIENT_COLUMNS, PatientState, Row
from store.preference import Identifier

IDENTIFIER_COLUMNS = ("enterprise", "value", "authority", "type", "patient_id", "origin", "kind")
CHANGE_COLUMNS = (
    "enterprise", "patient_id", "version", "at", "authority", "actor", "reason", "evidence_id", "effective", "run_id", "changes",
)  # fmt: skip
PHONE_KEY = ("enterprise", "number", "patient_id")
PHONE_COLUMNS = (*PHONE_KEY, "in_force")
NEXT_VERSION = (*PATIENT_COLUMNS[2:7], *PATIENT_COLUMNS[8:])
SEARCH_COLUMNS = ("enterprise", "token", "entry", "patient_id")


class Identifiers:
    """The identifier rows of one batch: ``new`` identifiers, and ``renamed`` ones, whose kind changed."""

    def __init__(self, enterprise: str) -> None:
        self.enterprise = enterprise
        self.new: list[Row] = []
        self.renamed: list[Row] = []

    def name(self, directory: Directory, patient: int, record: int, identifiers: Sequence[Identifier], kinds: Sequence[str]) -> None:
        """Gives the patient these identifiers; new ones belong to that record."""
        for one, kind, was in directory.missing(patient, identifiers, kinds):
            if was is None:
                row = KnownIdentifier(one.value, one.authority, one.type, patient, record, kind)
                self.new.append((self.enterprise, *row))
            else:
                row = was._replace(kind=kind)
                self._rename(row)
            directory.add(row)

    def clear(self) -> None:
        """Forgets the rows after they were written."""
        self.new.clear()
        self.renamed.clear()

    def _rename(self, row: KnownIdentifier) -> None:
        for place, new in enumerate(self.new):
            if (new[1:4], new[5]) == (row[:3], row.origin):
                self.new[place] = (self.enterprise, *row)
                return
        self.renamed.append((self.enterprise, *row))


@dataclass(slots=True)
class BatchRows:
    """What a batch writes of its patients. ``first``: assertions of patients who had none; ``replaced``: phones of those who had some.

    ``found_by`` and ``lost``: rows of the search index.
    """

    new: list[Row] = field(default_factory=list)
    old: list[Row] = field(default_factory=list)
    first: list[Row] = field(default_factory=list)
    further: list[Row] = field(default_factory=list)
    phones: list[Row] = field(default_factory=list)
    replaced: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    found_by: list[Row] = field(default_factory=list)
    lost: list[Row] = field(default_factory=list)

    def add(self, patient: PatientState, enterprise: Enterprise, now: datetime) -> None:
        """Adds the rows of one patient that changed."""
        (self.first if patient.is_new else self.further).extend(patient.assertion_rows())
        if not patient.visible:
            return
        row, numbers = patient.row(enterprise, now)
        if patient.is_new:
            self.new.append(row)
        else:
            self.old.append((*row[2:7], *row[8:], row[0]))
        if row[9] != patient.entry:
            self.found_by += search_rows(enterprise.name, row[9], patient.id)
            self.lost += search_rows(enterprise.name, patient.entry or "", patient.id)
            patient.entry = row[9]
        if numbers != patient.numbers:
            changed = numbers.items() - patient.numbers.items()
            (self.phones if patient.is_new else self.replaced).extend((enterprise.name, one, patient.id, is_on) for one, is_on in changed)
            self.gone += [(enterprise.name, number, patient.id) for number in patient.numbers.keys() - numbers.keys()]

    def write(self, database: Database, transaction: Connection, identifiers: Identifiers, changes: list[Row]) -> None:
        """Writes it, with the identifiers and lines of the history that are new."""
        database.insert(transaction, PatientRow, PATIENT_COLUMNS, self.new)
        database.update(transaction, PatientRow, ("id",), NEXT_VERSION, self.old)
        database.insert(transaction, IdentifierRow, IDENTIFIER_COLUMNS, identifiers.new)
        database.upsert(transaction, IdentifierRow, IDENTIFIER_COLUMNS, identifiers.renamed)
        database.insert(transaction, AssertionRow, ASSERTION_COLUMNS, self.first)
        database.upsert(transaction, AssertionRow, ASSERTION_COLUMNS, self.further)
        database.delete(transaction, PhoneRow, PHONE_KEY, self.gone)
        database.insert(transaction, PhoneRow, PHONE_COLUMNS, self.phones)
        database.upsert(transaction, PhoneRow, PHONE_COLUMNS, self.replaced)
        database.delete(transaction, SearchRow, SEARCH_COLUMNS, self.lost)
        database.insert(transaction, SearchRow, SEARCH_COLUMNS, self.found_by)
        database.insert(transaction, ChangeRow, CHANGE_COLUMNS, changes)


def search_rows(enterprise: str, entry: str, patient: int) -> list[Row]:
    """The rows of a patient's entry in the search index."""
    return [(enterprise, token, entry, patient) for token in search_entry.tokens(entry)]
