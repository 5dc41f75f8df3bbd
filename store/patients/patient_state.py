"""A patient while a batch works on it: read from its rows, and made into rows again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import assertions, documents, effective, search_entry
from store.domain.documents import instant, interval
from store.domain.enterprise import Enterprise
from store.domain.phone_numbers import numbers_in_force, numbers_on_file
from store.domain.record_merge import Join, Lineage
from store.preference import EMR

PATIENTS = """SELECT p.id, p.version, p.basis, p.contact, p.created,
 EXISTS (SELECT 1 FROM merges m WHERE m.survivor = p.id), EXISTS (SELECT 1 FROM held_statements h WHERE h.patient_id = p.id),
 p.due IS NOT NULL, EXISTS (SELECT 1 FROM record_refusals r WHERE r.patient_id = p.id), p.search_entry,
 a.authority, a.assertions, a.effective, a.confirmed, a.content, a.seen, a.since, a.last_heard, a.unreadable,
 a.effective_latest, a.confirmed_latest, a.codes
 FROM patients p LEFT JOIN assertions a ON a.patient_id = p.id WHERE p.id IN ??"""
JOINED = """WITH RECURSIVE joined(patient, seq, survivor, merged, effective) AS (
 SELECT m.survivor, m.seq, m.survivor, m.merged, m.effective FROM merges m
 JOIN patients p ON p.id = m.merged AND p.merged_into = m.survivor WHERE m.survivor IN ??
 UNION SELECT joined.patient, m.seq, m.survivor, m.merged, m.effective FROM merges m JOIN joined ON m.survivor = joined.merged
 JOIN patients p ON p.id = m.merged AND p.merged_into = m.survivor)
 SELECT patient, seq, survivor, merged, effective FROM joined"""

PATIENT_COLUMNS = ("id", "enterprise", "version", "basis", "sources", "contact", "provenance", "created", "updated", "search_entry")
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
    """A patient while a batch works on it.

    ``numbers``: the phone numbers in the patient's rows, each with whether it is in force (1 or 0). ``asserted``: what each authority
    asserts. ``is_held``: the safeguard holds changes of it. ``has_future``: a period will change it. ``is_refused``: one of its records
    refuses something, or did. ``visible``: what people and senders see of it changes. ``recorded``: its history has a new line.
    ``entry``: what the search index has of it; ``None`` for a patient from before there was one. ``lineage`` and ``joined``: the records
    it was merged from, and the last merge; ``None`` for a single record.
    """

    id: int
    created: datetime
    version: int = 0
    numbers: Mapping[str, int] = field(default_factory=dict)
    entry: str | None = ""
    asserted: dict[str, assertions.SourceAssertions] = field(default_factory=dict)
    content: dict[str, str | None] = field(default_factory=dict)
    last_received: dict[str, datetime] = field(default_factory=dict)
    is_new: bool = False
    is_held: bool = False
    has_future: bool = False
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
        """Adds what one authority asserts, from a row of :data:`ASSERTION_COLUMNS` without the patient."""
        authority, text, effective, confirmed, content, seen, since, last_received, marks, latest, confirmed_latest, codes = row
        self.asserted[authority] = assertions.SourceAssertions(
            documents.read_assertions(text),
            interval(effective, latest),
            interval(confirmed, confirmed_latest),
            seen,
            instant(since),
            documents.read_marks(marks),
            codes,
        )
        self.content[authority], self.last_received[authority] = content, instant(last_received)

    def assertion_rows(self) -> Iterator[Row]:
        """A row of :data:`ASSERTION_COLUMNS` for each authority that was touched."""
        for authority in self.touched:
            asserted = self.asserted[authority]
            yield (
                self.id,
                authority,
                documents.write_assertions(asserted.assertions),
                asserted.effective.earliest,
                asserted.confirmed.earliest,
                self.content.get(authority),
                asserted.seen,
                asserted.since,
                self.last_received[authority],
                documents.write_marks(asserted.unreadable),
                asserted.effective.end,
                asserted.confirmed.end,
                asserted.codes,
            )

    @property
    def listed(self) -> frozenset[str]:
        """The numbers and e-mail addresses that any authority lists."""
        return numbers_on_file(asserted.assertions for asserted in self.asserted.values())

    def row(self, enterprise: Enterprise, now: datetime) -> tuple[Row, dict[str, int]]:
        """The next version of the patient's row, and the patient's numbers and addresses, with whether each is in force by it."""
        in_force = effective.in_force({name: asserted.assertions for name, asserted in self.asserted.items()}, enterprise)
        contact = effective.contact(in_force, effective.unread(self.asserted, enterprise))
        numbers = dict.fromkeys(self.listed, 0) | dict.fromkeys(numbers_in_force(contact), 1)
        texts = documents.write(contact), documents.write_provenance(in_force)
        head, entry = (self.id, enterprise.name, self.version + 1, enterprise.basis), search_entry.entry_of(in_force)
        return (*head, sources(self.asserted), *texts, self.created, now, entry), numbers


def sources(authorities: Iterable[str]) -> str:
    """The sources that have stated anything about a patient, as the row keeps them."""
    return ",".join(sorted([name[len(EMR) :] for name in authorities if name.startswith(EMR)]))


def read(
    database: Database, transaction: Connection, basis: str, numbers: list[int], *, with_lineages: bool = True
) -> dict[int, PatientState]:
    """Patients with the assertions of every authority. ``basis`` is the enterprise's present configuration.

    Without lineages, of which a patient may have hundreds, ``lineage`` and ``joined`` stay empty: for callers that apply no payload.
    """
    found: dict[int, PatientState] = {}
    on_file: dict[int, dict[str, int]] = {}
    joined = set()
    for row in database.select(transaction, PATIENTS, [numbers]):
        patient = found.get(row[0])
        if patient is None:
            on_file[row[0]] = dict.fromkeys(numbers_in_force(documents.read_contact(row[3])), 1)
            outdated = row[2] != basis
            patient = PatientState(row[0], instant(row[4]), row[1], entry=row[9], visible=outdated)
            patient.is_held, patient.has_future, patient.is_refused = (bool(one) for one in row[6:9])
            found[row[0]] = patient
            if row[5]:
                joined.add(patient.id)
        if row[10] is not None:
            patient.hold(row[10:])
    for number, patient in found.items():
        patient.numbers = dict.fromkeys(patient.listed, 0) | on_file[number]
    for number, lineage in lineages(database, transaction, list(joined) if with_lineages else []).items():
        found[number].lineage, found[number].joined = lineage, lineage.joined
    return found


def lineages(database: Database, transaction: Connection, numbers: list[int]) -> dict[int, Lineage]:
    """The merges behind patients that have several records."""
    joins: dict[int, list[Join]] = {}
    for number, seq, survivor, merged, since in database.select(transaction, JOINED, [numbers]) if numbers else ():
        joins.setdefault(number, []).append(Join(seq, survivor, merged, instant(since)))
    return {number: Lineage(merges) for number, merges in joins.items()}
