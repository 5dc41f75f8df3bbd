"""Patients while a batch works on them: read from the rows they stand in, made into rows again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import assertions, documents
from store.domain.documents import instant, interval
from store.domain.enterprise import Enterprise
from store.domain.phone_numbers import listed
from store.domain.record_merge import Join, Lineage
from store.preference import EMR

PATIENTS = """SELECT p.id, p.version, p.basis, p.contact, p.created,
 EXISTS (SELECT 1 FROM merges m WHERE m.survivor = p.id), EXISTS (SELECT 1 FROM held_statements h WHERE h.patient_id = p.id),
 p.due IS NOT NULL, EXISTS (SELECT 1 FROM record_refusals r WHERE r.patient_id = p.id),
 a.authority, a.assertions, a.effective, a.confirmed, a.content, a.seen, a.since, a.last_heard, a.unreadable,
 a.effective_latest, a.confirmed_latest, a.codes
 FROM patients p LEFT JOIN assertions a ON a.patient_id = p.id WHERE p.id IN ??"""
JOINED = """WITH RECURSIVE joined(patient, seq, survivor, merged, effective) AS (
 SELECT m.survivor, m.seq, m.survivor, m.merged, m.effective FROM merges m
 JOIN patients p ON p.id = m.merged AND p.merged_into = m.survivor WHERE m.survivor IN ??
 UNION SELECT joined.patient, m.seq, m.survivor, m.merged, m.effective FROM merges m JOIN joined ON m.survivor = joined.merged
 JOIN patients p ON p.id = m.merged AND p.merged_into = m.survivor)
 SELECT patient, seq, survivor, merged, effective FROM joined"""

PATIENT_COLUMNS = ("id", "enterprise", "version", "basis", "sources", "contact", "provenance", "created", "updated")
ASSERTION_COLUMNS = (
    "patient_id",
    "authority",
    "assertions",
    "effective",
    "confirmed",
    "content",
    "seen",
    "since",
    "last_heard",
    "unreadable",
    "effective_latest",
    "confirmed_latest",
    "codes",
)

Row = tuple[Any, ...]


@dataclass(slots=True)
class PatientState:
    """A patient while a batch works on it. ``is_held``: the safeguard keeps something about it. ``lineage``: it is several records.
    ``is_dated``: a period changes something of it. ``is_refused``: a record of it refuses something, or did.

    ``numbers``: those that are written down as the patient's, each with whether it is in force (1 or 0).
    """

    id: int
    created: datetime
    version: int = 0
    numbers: Mapping[str, int] = field(default_factory=dict)
    held: dict[str, assertions.SourceAssertions] = field(default_factory=dict)
    content: dict[str, str | None] = field(default_factory=dict)
    heard: dict[str, datetime] = field(default_factory=dict)
    is_new: bool = False
    is_held: bool = False
    is_dated: bool = False
    is_refused: bool = False
    touched: set[str] = field(default_factory=set)
    visible: bool = False
    recorded: bool = False
    lineage: Lineage | None = None
    joined: datetime | None = None

    @property
    def records(self) -> list[int]:
        """The store ids of all records that the patient is."""
        return [self.id, *(self.lineage.by_merged if self.lineage is not None else ())]

    def hold(self, row: Sequence[Any]) -> None:
        """Takes in what one authority asserts; a row of :data:`ASSERTION_COLUMNS` without the patient."""
        authority, text, effective, confirmed, content, line, since, heard, marks, latest, confirmed_latest, codes = row
        said, unread = documents.read_assertions(text), documents.read_marks(marks)
        stated, again = interval(effective, latest), interval(confirmed, confirmed_latest)
        self.held[authority] = assertions.SourceAssertions(said, stated, again, line, instant(since), unread, codes)
        self.content[authority], self.heard[authority] = content, instant(heard)

    def assertion_rows(self) -> Iterator[Row]:
        """A row for each authority of which something was heard."""
        for authority in self.touched:
            held, content = self.held[authority], self.content.get(authority)
            text = documents.write_assertions(held.assertions)
            said = (
                held.effective.earliest,
                held.confirmed.earliest,
                content,
                held.seen,
                held.since,
                self.heard[authority],
                documents.write_marks(held.unreadable),
                held.effective.end,
                held.confirmed.end,
                held.codes,
            )
            yield (self.id, authority, text, *said)

    @property
    def listed(self) -> frozenset[str]:
        """The numbers that any authority lists."""
        return listed(held.assertions for held in self.held.values())

    def row(self, enterprise: Enterprise, now: datetime) -> tuple[Row, dict[str, int]]:
        """The next version of the patient's row, and the patient's numbers, with whether each is in force by it."""
        in_force = assertions.in_force({name: held.assertions for name, held in self.held.items()}, enterprise)
        contact = assertions.contact(in_force, assertions.unread(self.held, enterprise))
        numbers = dict.fromkeys(self.listed, 0) | {phone.number: 1 for phone in contact.phones}
        said = (documents.write(contact), documents.write_provenance(in_force), self.created, now)
        return (self.id, enterprise.name, self.version + 1, enterprise.basis, sources(self.held), *said), numbers


def sources(authorities: Iterable[str]) -> str:
    """The sources that have stated anything about a patient, as the row keeps them."""
    return ",".join(sorted([name[len(EMR) :] for name in authorities if name.startswith(EMR)]))


def read(
    database: Database, transaction: Connection, basis: str, numbers: list[int], *, with_lineages: bool = True
) -> dict[int, PatientState]:
    """Patients with all that anybody asserts about them. ``basis`` is the one that values are in force for now.

    Without lineages, of which a patient may have hundreds, its ``lineage`` and ``joined`` stay empty: for who applies no payload to it.
    """
    found: dict[int, PatientState] = {}
    on_file: dict[int, dict[str, int]] = {}
    joined = set()
    for row in database.select(transaction, PATIENTS, [numbers]):
        patient = found.get(row[0])
        if patient is None:
            on_file[row[0]] = {phone.number: 1 for phone in documents.read_contact(row[3]).phones}
            outdated = row[2] != basis
            patient = PatientState(row[0], instant(row[4]), row[1], visible=outdated)
            patient.is_held, patient.is_dated, patient.is_refused = (bool(one) for one in row[6:9])
            found[row[0]] = patient
            if row[5]:
                joined.add(patient.id)
        if row[9] is not None:
            patient.hold(row[9:])
    for number, patient in found.items():
        patient.numbers = dict.fromkeys(patient.listed, 0) | on_file[number]
    for number, lineage in lineages(database, transaction, list(joined) if with_lineages else []).items():
        found[number].lineage, found[number].joined = lineage, lineage.joined
    return found


def lineages(database: Database, transaction: Connection, numbers: list[int]) -> dict[int, Lineage]:
    """Of which records patients are made, where they are several."""
    joins: dict[int, list[Join]] = {}
    for number, seq, survivor, merged, effective in database.select(transaction, JOINED, [numbers]) if numbers else ():
        joins.setdefault(number, []).append(Join(seq, survivor, merged, instant(effective)))
    return {number: Lineage(those) for number, those in joins.items()}
