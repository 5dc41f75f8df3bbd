"""One batch of one author: patients opened, what was said about them, and the rows that are written in a handful of statements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import documents, record_refusals, source_codes
from store.domain.enterprise import Enterprise
from store.domain.ids import PatientIds
from store.domain.record_refusals import RecordRefusal
from store.patients import patient_state
from store.patients.batch_rows import Writing
from store.patients.gating import Gate
from store.patients.identifier_rows import Identifiers
from store.patients.merged_sides import Sides
from store.patients.opt_out_bindings import Bindings
from store.patients.patient_state import PatientState, Row
from store.patients.period_rows import AheadRows
from store.patients.refusal_rows import RefusalRows
from store.preference import EMR, PatientStatements

Changes = Mapping[str, tuple[Any, Any, str]]
"""Attribute -> its value before and after, and the path it was read from."""


class Author(NamedTuple):
    """Who writes, when, and for which reason: the authority's own words, or a person's."""

    authority: str
    now: datetime
    run_id: str | None = None
    actor: str = ""
    reason: str = ""


class PatientBatch:
    """Patients of one enterprise whom one author changes, inside one transaction. Use once.

    ``gate`` is the safeguard; without one everything takes effect. ``reader`` is how its source is read today.
    """

    def __init__(
        self,
        database: Database,
        transaction: Connection,
        enterprise: Enterprise,
        author: Author,
        ids: PatientIds,
        gate: Gate | None = None,
        reader: source_codes.CodeReader | None = None,
    ) -> None:
        self.database, self.transaction, self.enterprise, self.author, self.ids = database, transaction, enterprise, author, ids
        self.gate = gate
        self.open: dict[int, PatientState] = {}
        self.sides, self.ahead = Sides(database, transaction), AheadRows(database, transaction)
        self.refusals = RefusalRows(database, transaction)
        self.naming = enterprise.naming(author.authority.removeprefix(EMR))
        self.identifiers = Identifiers(enterprise.name)
        self.changes: list[Row] = []
        self.undecided = 0
        self.outdated: set[int] = set()  # patients of whom something held was read by another mapping, and is read again instead
        self.reader = reader

    def resume(self, numbers: Iterable[int], *, with_lineages: bool = True) -> dict[int, PatientState]:
        """Opens patients to work on one by one; follow with :meth:`finish`."""
        self._load(numbers, with_lineages=with_lineages)
        return self.open

    def create(self) -> PatientState:
        """Opens a patient nobody has stated anything about yet."""
        return self.patient(None)

    def finish(self) -> None:
        """Writes every open patient that something was said about."""
        self._write(self._prepared())

    def _prepared(self) -> Writing:
        """The rows of every open patient that something was said about. What is read for them is read here."""
        writing = Writing()
        for patient in self.open.values():
            if patient.touched or patient.is_new or patient.recorded:
                if patient.visible and not patient.recorded:  # a new configuration, or identifiers only: every version is in the feed
                    self.changes.append(self.line(patient, {}, "", self.author.now))
                writing.add(patient, self.enterprise, self.author.now)
        gone = [(patient, number) for _, number, patient in writing.gone]
        Bindings(self.database, self.transaction, self.enterprise.name).leave(gone, self.author.now)
        return writing

    def _write(self, writing: Writing) -> None:
        writing.write(self.database, self.transaction, self.identifiers, self.changes)
        self.sides.write()
        self.ahead.write()
        self.refusals.write()

    def settle(self) -> None:
        """Writes what was opened so far, so that rows may refer to it; whoever is needed again is read again."""
        self.finish()
        for written in (self.open, self.identifiers, self.changes):
            written.clear()

    def _load(self, patients: Iterable[int], *, with_lineages: bool = True) -> None:
        wanted = [patient for patient in patients if patient not in self.open]
        if not wanted:
            return
        found = patient_state.read(self.database, self.transaction, self.enterprise.basis, wanted, with_lineages=with_lineages)
        self.open |= found
        held = [record for patient in found.values() if patient.is_held or patient.lineage for record in patient.records]
        if self.gate is not None and held:
            self.gate.load(held)

    def patient(self, number: int | None) -> PatientState:
        """A patient of the batch, read where nobody needed them yet; ``None`` opens a new one."""
        if number is None:
            number = self.ids.next()
            self.open[number] = PatientState(number, self.author.now, is_new=True, visible=True)
        elif number not in self.open:
            self._load([number])
        return self.open[number]

    def refusals_of(self, patient: PatientState) -> list[RecordRefusal]:
        """What the records of a patient refuse."""
        return self.refusals.of(patient.id, known=patient.is_refused)

    def keep_refusals(self, patient: PatientState, refused: list[RecordRefusal] | None, but: Collection[str] = ()) -> None:
        """From now on the records of the author refuse that, but for some attributes, of which they refuse what they did."""
        if refused is None:
            return
        authority = self.author.authority
        others = [one for one in self.refusals_of(patient) if one.authority != authority or one.attribute in but]
        those = [one for one in refused if one.authority == authority and one.attribute not in but]
        self.refusals.put(patient.id, [*others, *those])
        patient.is_refused = patient.is_refused or bool(others or those)

    def learn_refusals(self, patient: PatientState) -> None:
        """Keeps what stands of a patient's records, before it is joined with what stands of another one's."""
        kept = self.refusals_of(patient)
        for authority, held in patient.held.items():
            kept = record_refusals.known(kept, held, patient.id, authority)
        self.refusals.put(patient.id, kept)
        patient.is_refused = patient.is_refused or bool(kept)

    def record(self, patient: PatientState, item: PatientStatements, changed: Mapping[str, tuple[Any, Any]]) -> None:
        """One line of the patient's history: what changed, by which evidence."""
        changes = {name: (before, after, item.statements[name].path) for name, (before, after) in changed.items()}
        self.tell(patient, changes, item.evidence_id, item.effective.earliest)

    def tell(self, patient: PatientState, changes: Changes, evidence_id: str, effective: datetime, by: Author | None = None) -> None:
        """A line of the history of an open patient; see :meth:`line`."""
        self.changes.append(self.line(patient, changes, evidence_id, effective, by))
        patient.recorded = True

    def line(self, patient: PatientState, changes: Changes, evidence_id: str, effective: datetime, by: Author | None = None) -> Row:
        """A line of the history and of the feed, by the author of the batch unless it is another's."""
        by, version, text = by or self.author, patient.version + 1, documents.write(changes)
        said = (by.authority, by.actor, by.reason, evidence_id, effective, by.run_id)
        return (self.enterprise.name, patient.id, version, by.now, *said, text)
