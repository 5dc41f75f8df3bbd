"""Writes what sources state, a batch at a time: read what stands, merge in memory, write rows in a handful of statements.

A payload whose content already stands costs one row of an update (when it was heard, for which time); only patients with
something new are loaded, merged and written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection

from store import documents, merge, seen, yielding
from store.database import Database
from store.enterprise import Enterprise
from store.errors import IdentifierConflict
from store.identity import Directory
from store.ids import PatientIds
from store.lineage import Join, Lineage
from store.moment import instant as instant
from store.preference import EMR, STAFF, PatientStatements
from store.sides import Heard, Sides
from store.tables import AssertionRow, ChangeRow, IdentifierRow, PatientRow, PhoneRow

if TYPE_CHECKING:
    from store.gate import Gate

FIND = """SELECT i.value, i.authority, i.type, i.patient_id, p.basis, a.content, a.effective, a.confirmed, a.seen, i.origin
 FROM identifiers i JOIN patients p ON p.id = i.patient_id
 LEFT JOIN assertions a ON a.patient_id = i.patient_id AND a.authority = ?
 WHERE i.enterprise = ? AND i.value IN ??"""
PATIENTS = "SELECT id, version, basis, contact, created FROM patients WHERE id IN ??"
ASSERTIONS = """SELECT patient_id, authority, assertions, effective, confirmed, content, seen, since, last_heard
 FROM assertions WHERE patient_id IN ??"""
JOINED = """WITH RECURSIVE joined(patient, seq, survivor, merged, effective) AS (
 SELECT m.survivor, m.seq, m.survivor, m.merged, m.effective FROM merges m
 JOIN patients p ON p.id = m.merged AND p.merged_into = m.survivor WHERE m.survivor IN ??
 UNION SELECT joined.patient, m.seq, m.survivor, m.merged, m.effective FROM merges m JOIN joined ON m.survivor = joined.merged
 JOIN patients p ON p.id = m.merged AND p.merged_into = m.survivor)
 SELECT patient, seq, survivor, merged, effective FROM joined"""

PATIENT_COLUMNS = ("id", "enterprise", "version", "basis", "sources", "contact", "provenance", "created", "updated")
IDENTIFIER_COLUMNS = ("enterprise", "value", "authority", "type", "patient_id", "origin")
ASSERTION_COLUMNS = ("patient_id", "authority", "assertions", "effective", "confirmed", "content", "seen", "since", "last_heard")
CHANGE_COLUMNS = (
    "enterprise",
    "patient_id",
    "version",
    "at",
    "authority",
    "actor",
    "reason",
    "evidence_id",
    "effective",
    "run_id",
    "changes",
)
PHONE_COLUMNS = ("enterprise", "number", "patient_id")

Row = tuple[Any, ...]


class Outcome(NamedTuple):
    """What became of one item: ``applied | unchanged | stale | merged | rejected``, with a reason code when rejected."""

    outcome: str
    reason: str = ""
    detail: str = ""
    patient_id: int | None = None


class Standing(NamedTuple):
    """What the fast path knows of a patient and one authority."""

    basis: str
    content: str | None
    confirmed: datetime | None
    seen: str


class Author(NamedTuple):
    """Who writes, when, and for which reason: the authority's own words, or a person's."""

    authority: str
    now: datetime
    run_id: str | None = None
    actor: str = ""
    reason: str = ""


@dataclass(slots=True)
class Open:
    """A patient while a batch works on it."""

    id: int
    created: datetime
    version: int = 0
    numbers: frozenset[str] = frozenset()
    held: dict[str, merge.Held] = field(default_factory=dict)
    content: dict[str, str | None] = field(default_factory=dict)
    heard: dict[str, datetime] = field(default_factory=dict)
    is_new: bool = False
    touched: set[str] = field(default_factory=set)
    visible: bool = False
    recorded: bool = False
    lineage: Lineage | None = None
    joined: datetime | None = None


class Application:
    """One batch of one author in one enterprise, inside one transaction. Use once: :meth:`run`.

    ``gate`` is the brake; without one everything takes effect.
    """

    def __init__(
        self,
        database: Database,
        transaction: Connection,
        enterprise: Enterprise,
        author: Author,
        ids: PatientIds,
        gate: Gate | None = None,
    ) -> None:
        self.database, self.transaction, self.enterprise, self.author, self.ids = database, transaction, enterprise, author, ids
        self.gate = gate
        self.open: dict[int, Open] = {}
        self.sides = Sides(database, transaction)
        self.origins = Directory(())
        self.new_identifiers: list[tuple[str, str, str, str, int, int]] = []
        self.changes: list[Row] = []

    def run(self, items: Sequence[PatientStatements]) -> list[Outcome]:
        """Applies the items in order and writes the rows. The outcomes are in the order of the items."""
        directory, standing = self._find(items)
        digests = [documents.digest(item.identifiers, merge.stated(item), item.version) for item in items]
        patients = [self._resolve(directory, item) for item in items]
        news = {
            patient
            for patient, item, digest in zip(patients, items, digests, strict=True)
            if isinstance(patient, int) and not _stands(standing[patient], digest, self.enterprise.basis)
        }
        self._load(news)
        repeats: dict[int, Standing] = {}
        outcomes = []
        for patient, item, digest in zip(patients, items, digests, strict=True):
            if isinstance(patient, int) and patient not in news:
                repeats[patient] = _heard_again(repeats.get(patient, standing[patient]), item, digest)
                outcomes.append(Outcome("unchanged", patient_id=patient))
            else:
                outcomes.append(self._apply(directory, item, digest))
        self._write_repeats(repeats)
        self._write()
        if self.gate is not None:
            self.gate.write()
        return outcomes

    def _find(self, items: Sequence[PatientStatements]) -> tuple[Directory, dict[int, Standing]]:
        values = list({identifier.value for item in items for identifier in item.identifiers})
        rows = self.database.select(self.transaction, FIND, [self.author.authority, self.enterprise.name, values])
        standing = {row[3]: Standing(row[4], row[5], _time(row[7]), row[8] or "") for row in rows}
        self.origins = Directory((*row[:3], row[9]) for row in rows)
        return Directory(tuple(row[:4]) for row in rows), standing

    def resume(self, numbers: Iterable[int]) -> dict[int, Open]:
        """Opens patients to work on one by one; follow with :meth:`finish`."""
        self._load(numbers)
        return self.open

    def create(self) -> Open:
        """Opens a patient nobody has stated anything about yet."""
        return self._patient(None)

    def finish(self) -> None:
        """Writes what was said about the patients opened one by one."""
        self._write()

    def _resolve(self, directory: Directory, item: PatientStatements) -> int | IdentifierConflict | None:
        try:
            return directory.resolve(item.identifiers)
        except IdentifierConflict as conflict:
            return conflict

    def _load(self, patients: Iterable[int]) -> None:
        wanted = [patient for patient in patients if patient not in self.open]
        if not wanted:
            return
        for row in self.database.select(self.transaction, PATIENTS, [wanted]):
            numbers = frozenset(phone.number for phone in documents.read_contact(row[3]).phones)
            self.open[row[0]] = Open(row[0], instant(row[4]), row[1], numbers, visible=row[2] != self.enterprise.basis)
        for row in self.database.select(self.transaction, ASSERTIONS, [wanted]):
            self._hold(self.open[row[0]], row)
        joins: dict[int, list[Join]] = {}
        for number, seq, survivor, merged, effective in self.database.select(self.transaction, JOINED, [wanted]):
            joins.setdefault(number, []).append(Join(seq, survivor, merged, instant(effective)))
        for number, found in joins.items():
            lineage = self.open[number].lineage = Lineage(found)
            self.open[number].joined = lineage.joined
        if self.gate is not None:
            self.gate.load([*wanted, *(join.merged for found in joins.values() for join in found)])

    def _hold(self, patient: Open, row: Row) -> None:
        _, authority, text, effective, confirmed, content, line, since, heard = row
        patient.held[str(authority)] = merge.Held(
            documents.read_assertions(str(text)), instant(effective), instant(confirmed), str(line), instant(since)
        )
        patient.content[str(authority)] = content if content is None else str(content)
        patient.heard[str(authority)] = instant(heard)

    def _apply(self, directory: Directory, item: PatientStatements, digest: str) -> Outcome:
        found = self._resolve(directory, item)
        if isinstance(found, IdentifierConflict):
            return Outcome("rejected", "identifier_conflict", str(found))
        patient = self._patient(found)
        record = self._record(patient, item)
        for identifier in directory.missing(item.identifiers):
            directory.add(identifier, patient.id)
            self.origins.add(identifier, record)
            row = (self.enterprise.name, identifier.value, identifier.authority, identifier.type, patient.id, record)
            self.new_identifiers.append(row)
        outcome = self.state(patient, item, digest, record)
        return Outcome(outcome, patient_id=patient.id)

    def _patient(self, number: int | None) -> Open:
        if number is None:
            number = self.ids.next()
            self.open[number] = Open(number, self.author.now, is_new=True, visible=True)
        return self.open[number]

    def _record(self, patient: Open, item: PatientStatements) -> int:
        """The record that a payload is about by its identifiers, where a patient is more than one; in doubt the patient's first."""
        found = self._resolve(self.origins, item) if patient.lineage is not None else None
        return found if isinstance(found, int) else patient.id

    def state(self, patient: Open, item: PatientStatements, digest: str, record: int | None = None) -> str:
        """Merges one payload into an open patient; says what became of it. ``record`` is the one it is about, where there are several."""
        authority, now = self.author.authority, self.author.now
        held, key = patient.held.get(authority), seen.key(digest, item.effective, item.version, item.evidence_id)
        patient.heard[authority] = now
        patient.touched.add(authority)
        if held is not None and seen.knows(held.seen, key):
            return "unchanged"
        doubtful = held is not None and seen.resembles(held.seen, key)
        merged = merge.merge(held, item, now, doubtful=doubtful, joined=patient.joined)
        if self.gate is not None and not patient.is_new:
            back = self.gate.sift(patient.id, patient.held, item, merged, record=record or patient.id)
            if back:
                item = replace(item, statements={name: one for name, one in item.statements.items() if name not in back})
                merged = merge.merge(held, item, now, doubtful=doubtful, joined=patient.joined)
                merged = replace(merged, outcome="held", settled=False)
        self._keep(patient, item, merged, digest, key)
        self._tell_side(patient, item, digest, record)
        return merged.outcome

    def _tell_side(self, patient: Open, item: PatientStatements, digest: str, record: int | None) -> None:
        if patient.lineage is not None and record is not None:
            self.sides.hear(patient.lineage, record, Heard(self.author.authority, item, digest, self.author.now))

    def let_through(self, patient: Open, item: PatientStatements, *, doubtful: bool, record: int | None = None) -> bool:
        """Merges what was held back and is let through now, as old as it is; whether it still changes anything."""
        authority, now = self.author.authority, self.author.now
        patient.touched.add(authority)
        patient.heard.setdefault(authority, now)
        merged = merge.merge(patient.held.get(authority), item, now, doubtful=doubtful, joined=patient.joined)
        self._keep(patient, item, replace(merged, settled=False), "", "")
        self._tell_side(patient, item, documents.digest((), item.statements, item.version), record)
        return bool(merged.changed)

    def _keep(self, patient: Open, item: PatientStatements, merged: merge.Merged, digest: str, key: str) -> None:
        authority, now, held = self.author.authority, self.author.now, patient.held.get(self.author.authority)
        effective = item.effective if held is None or item.effective >= held.confirmed else held.confirmed
        line, since = (seen.remember(held.seen, key) if key else held.seen, held.since) if held else (key, now)
        patient.held[authority] = merge.Held(merged.assertions, effective, merged.confirmed, line, since)
        if authority.startswith(EMR) and yielding.lifts(patient.held, item):
            patient.held[STAFF] = yielding.lifted(patient.held[STAFF])
            patient.touched.add(STAFF)
            patient.visible = True
        alone = patient.lineage is None and not yielding.is_kept(patient.held)
        patient.content[authority] = digest if merged.settled and alone else None
        patient.visible = patient.visible or held is None or bool(merged.changed)
        if merged.changed:
            self.record(patient, item, merged)

    def record(self, patient: Open, item: PatientStatements, merged: merge.Merged) -> None:
        """One line of the patient's history: what changed, by which evidence."""
        changes = {name: (before, after, item.statements[name].path) for name, (before, after) in merged.changed.items()}
        self.changes.append(self.line(patient, changes, item.evidence_id, item.effective))
        patient.recorded = True

    def line(self, patient: Open, changes: dict[str, tuple[Any, Any, str]], evidence_id: str, effective: datetime) -> Row:
        """A line of the history and of the feed: attribute -> (before, after, path)."""
        by, version, text = self.author, patient.version + 1, documents.write(changes)
        said = (by.authority, by.actor, by.reason, evidence_id, effective, by.run_id)
        return (self.enterprise.name, patient.id, version, by.now, *said, text)

    def _write_repeats(self, repeats: dict[int, Standing]) -> None:
        rows = [(one.confirmed, one.seen, self.author.now, patient, self.author.authority) for patient, one in repeats.items()]
        self.database.update(self.transaction, AssertionRow, ("patient_id", "authority"), ("confirmed", "seen", "last_heard"), rows)

    def _write(self) -> None:
        """Writes every open patient that something was said about."""
        new: list[Row] = []
        old: list[Row] = []
        assertions: list[Row] = []
        phones: list[Row] = []
        gone: list[Row] = []
        for patient in self.open.values():
            if not (patient.touched or patient.is_new or patient.recorded):
                continue
            assertions.extend(self._assertion_rows(patient))
            if not patient.visible:
                continue
            if not patient.recorded:  # a new configuration, or nothing but identifiers: every version is in the feed
                self.changes.append(self.line(patient, {}, "", self.author.now))
            row, numbers = self._patient_row(patient)
            (new if patient.is_new else old).append(row)
            phones.extend((self.enterprise.name, number, patient.id) for number in numbers - patient.numbers)
            gone.extend((self.enterprise.name, number, patient.id) for number in patient.numbers - numbers)
        write, transaction = self.database, self.transaction
        write.insert(transaction, PatientRow, PATIENT_COLUMNS, new)
        write.update(transaction, PatientRow, ("id",), (*PATIENT_COLUMNS[2:7], "updated"), [(*row[2:7], row[8], row[0]) for row in old])
        write.insert(transaction, IdentifierRow, IDENTIFIER_COLUMNS, self.new_identifiers)
        fresh = {row[0] for row in new}
        write.insert(transaction, AssertionRow, ASSERTION_COLUMNS, [row for row in assertions if row[0] in fresh])
        write.upsert(transaction, AssertionRow, ASSERTION_COLUMNS, [row for row in assertions if row[0] not in fresh])
        write.delete(transaction, PhoneRow, PHONE_COLUMNS, gone)
        write.insert(transaction, PhoneRow, PHONE_COLUMNS, phones)
        write.insert(transaction, ChangeRow, CHANGE_COLUMNS, self.changes)
        self.sides.write()

    def _assertion_rows(self, patient: Open) -> Iterable[Row]:
        for authority in patient.touched:
            held = patient.held[authority]
            yield (
                patient.id,
                authority,
                documents.write_assertions(held.assertions),
                held.effective,
                held.confirmed,
                patient.content.get(authority),
                held.seen,
                held.since,
                patient.heard[authority],
            )

    def _patient_row(self, patient: Open) -> tuple[Row, frozenset[str]]:
        in_force = merge.in_force({name: held.assertions for name, held in patient.held.items()}, self.enterprise)
        contact = merge.contact(in_force)
        numbers = frozenset(phone.number for phone in contact.phones)
        row = (
            patient.id,
            self.enterprise.name,
            patient.version + 1,
            self.enterprise.basis,
            sources(patient.held),
            documents.write(contact),
            documents.write_provenance(in_force),
            patient.created,
            self.author.now,
        )
        return row, numbers


def sources(authorities: Iterable[str]) -> str:
    """The sources that have stated anything about a patient, as the row keeps them."""
    return ",".join(sorted(name[len(EMR) :] for name in authorities if name.startswith(EMR)))


def _stands(standing: Standing, digest: str, basis: str) -> bool:
    return standing.content == digest and standing.basis == basis


def _heard_again(standing: Standing, item: PatientStatements, digest: str) -> Standing:
    line = seen.remember(standing.seen, seen.key(digest, item.effective, item.version, item.evidence_id))
    if standing.confirmed is None or item.effective > standing.confirmed:
        return standing._replace(confirmed=item.effective, seen=line)
    return standing._replace(seen=line)


def _time(value: object) -> datetime | None:
    return None if value is None else instant(value)
