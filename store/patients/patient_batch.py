"""One batch of one author: the patients it opens, and the rows it writes in a few statements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import documents, payload, record_refusals, source_codes
from store.domain.assertions import Merged
from store.domain.enterprise import Enterprise
from store.domain.ids import PatientIds
from store.domain.record_refusals import RecordRefusal
from store.patients import patient_state
from store.patients.batch_rows import BatchRows, Identifiers
from store.patients.gating import Gate, Guard
from store.patients.merged_sides import Sides
from store.patients.opt_out_bindings import Bindings
from store.patients.patient_state import PatientState, Row
from store.patients.period_rows import FutureRows
from store.patients.refusal_rows import RefusalRows
from store.preference import EMR, PatientStatements

Changes = Mapping[str, tuple[Any, Any, str]]
"""Attribute -> its value before, its value after, and the path it was read from."""


Beside = TypeVar("Beside", Sides, FutureRows, RefusalRows)
"""What a batch keeps of its patients in tables of its own."""


class Author(NamedTuple):
    """Who writes (an authority, or a person for it), when, in which run, and why."""

    authority: str
    now: datetime
    run_id: str | None = None
    actor: str = ""
    reason: str = ""


class PatientBatch:
    """Patients of one enterprise that one author changes, inside one transaction. Use once.

    ``guard`` is the safeguard's; without one everything takes effect. ``reader`` reads codes by the source's present mapping.
    """

    def __init__(
        self,
        database: Database,
        transaction: Connection,
        enterprise: Enterprise,
        author: Author,
        ids: PatientIds,
        guard: Guard | None = None,
        reader: source_codes.CodeReader | None = None,
    ) -> None:
        self.database, self.transaction, self.enterprise, self.author, self.ids = database, transaction, enterprise, author, ids
        self._guard = guard
        self._gate: Gate | None = None
        self.open: dict[int, PatientState] = {}
        self._beside: list[Sides | FutureRows | RefusalRows] = []
        self.naming = enterprise.naming(author.authority.removeprefix(EMR))
        source = enterprise.source(author.authority.removeprefix(EMR))
        self.echoes = source.echoes if source else frozenset()
        self.identifiers = Identifiers(enterprise.name)
        self.changes: list[Row] = []
        self.undecided = 0
        self.outdated: set[int] = set()  # patients with an approved change of another mapping: they are read again instead
        self.reader = reader

    @cached_property
    def sides(self) -> Sides:
        """The sides of the merges behind the patients; most batches have none."""
        return self._written_too(Sides(self.database, self.transaction))

    @cached_property
    def future(self) -> FutureRows:
        """The future statements of the patients; most batches have none."""
        return self._written_too(FutureRows(self.database, self.transaction))

    @cached_property
    def refusals(self) -> RefusalRows:
        """The refusals of records of the patients; most batches have none."""
        return self._written_too(RefusalRows(self.database, self.transaction))

    def _written_too(self, rows: Beside) -> Beside:
        self._beside.append(rows)
        return rows

    def resume(self, numbers: Iterable[int], *, with_lineages: bool = True) -> dict[int, PatientState]:
        """Opens patients to work on one by one; follow with :meth:`finish`."""
        self._load(numbers, with_lineages=with_lineages)
        return self.open

    def create(self) -> PatientState:
        """Opens a new patient."""
        return self.patient(None)

    def finish(self) -> None:
        """Writes every open patient that changed."""
        self._write(self._prepared())

    def _prepared(self) -> BatchRows:
        """The rows of every open patient that changed. What has to be read for them is read here."""
        rows = BatchRows()
        for patient in self.open.values():
            if patient.touched or patient.is_new or patient.recorded:
                if patient.visible and not patient.recorded:  # a new configuration, or identifiers only: every version is in the feed
                    self.changes.append(self.line(patient, {}, "", self.author.now))
                rows.add(patient, self.enterprise, self.author.now)
        gone = [(patient, number) for _, number, patient in rows.gone]
        if gone:
            Bindings(self.database, self.transaction, self.enterprise.name).leave(gone, self.author.now)
        return rows

    def _write(self, rows: BatchRows) -> None:
        rows.write(self.database, self.transaction, self.identifiers, self.changes)
        for rows_beside in self._beside:
            rows_beside.write()

    def settle(self) -> None:
        """Writes the patients opened so far, so that rows may refer to them; they are read again when needed."""
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
        if self._gate is not None:
            self._gate.expect(found)
        if held and self._guard is not None:
            self._opened(self._guard).load(held)

    def patient(self, number: int | None) -> PatientState:
        """A patient of the batch, read when first needed; ``None`` opens a new one."""
        if number is None:
            number = self.ids.next()
            self.open[number] = PatientState(number, self.author.now, is_new=True, visible=True)
        elif number not in self.open:
            self._load([number])
        return self.open[number]

    def held_back(self, patient: PatientState, item: PatientStatements, merged: Merged, *, record: int) -> frozenset[str]:
        """The attributes of a payload that wait for a person. ``merged`` is the result if all of it took effect."""
        if self._guard is None:
            return frozenset()
        permitting = payload.permitting(patient.asserted, self.author.authority, item, merged, self.enterprise)
        if not permitting and self._gate is None:  # nothing is held that newer evidence could replace
            return frozenset()
        return self._opened(self._guard).sift(patient.id, item, permitting, record=record)

    def _opened(self, guard: Guard) -> Gate:
        if self._gate is None:
            self._gate = guard.gate(self.database, self.transaction, self.enterprise, self.author.authority, self.author.now)
            self._gate.expect(number for number, patient in self.open.items() if not patient.is_new)
        return self._gate

    def write_held(self) -> None:
        """Writes the changes held back, if there was anything to hold."""
        if self._gate is not None:
            self._gate.write()

    def refusals_of(self, patient: PatientState) -> list[RecordRefusal]:
        """The refusals of a patient's records."""
        return self.refusals.of(patient.id, known=patient.is_refused)

    def keep_refusals(self, patient: PatientState, refused: list[RecordRefusal] | None, but: Collection[str] = ()) -> None:
        """Replaces the refusals of the author's records, except those of the attributes in ``but``."""
        if refused is None:
            return
        authority = self.author.authority
        others = [one for one in self.refusals_of(patient) if one.authority != authority or one.attribute in but]
        own = [one for one in refused if one.authority == authority and one.attribute not in but]
        self.refusals.put(patient.id, [*others, *own])
        patient.is_refused = patient.is_refused or bool(others or own)

    def learn_refusals(self, patient: PatientState) -> None:
        """Keeps the refusals of a patient's records before they are joined with another patient's."""
        kept = self.refusals_of(patient)
        for authority, asserted in patient.asserted.items():
            kept = record_refusals.known(kept, asserted, patient.id, authority)
        self.refusals.put(patient.id, kept)
        patient.is_refused = patient.is_refused or bool(kept)

    def record(self, patient: PatientState, item: PatientStatements, changed: Mapping[str, tuple[Any, Any]]) -> None:
        """Adds what a payload changed to the patient's history."""
        changes = {name: (before, after, item.statements[name].path) for name, (before, after) in changed.items()}
        self.add_history(patient, changes, item.evidence_id, item.effective.earliest)

    def add_history(self, patient: PatientState, changes: Changes, evidence_id: str, effective: datetime, by: Author | None = None) -> None:
        """Adds a line to the history of an open patient; see :meth:`line`."""
        self.changes.append(self.line(patient, changes, evidence_id, effective, by))
        patient.recorded = True

    def line(self, patient: PatientState, changes: Changes, evidence_id: str, effective: datetime, by: Author | None = None) -> Row:
        """A line of the history and of the feed, by the author of the batch or by ``by``."""
        by, version, text = by or self.author, patient.version + 1, documents.write(changes)
        source = (by.authority, by.actor, by.reason, evidence_id, effective, by.run_id)
        return (self.enterprise.name, patient.id, version, by.now, *source, text)
