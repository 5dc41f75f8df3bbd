"""Retires a source: in one audited step, its marks and locks are removed, and staff inherits its last known values. It can be undone.

A source that left the configuration without that still locks what it stated. It is reported as an orphan, so no lock ends silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import Audit
from store.db.tables import AssertionRow, SourceStateRow
from store.db.tables_operations import ReleaseRow
from store.domain.assertions import SourceAssertions
from store.domain.documents import instant
from store.domain.hidden_refusals import covered, uncovered
from store.domain.ids import shown, token
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.domain.retirement import inherit, restore
from store.errors import RunActive, StoreError, ValueRefused
from store.holds.held_changes import HeldChanges
from store.holds.impact import retirement_impact
from store.holds.review import HeldReview
from store.patients.apply import Application
from store.patients.patient_batch import Author
from store.patients.patient_state import PatientState
from store.patients.preferences import Preferences
from store.patients.reader import PatientReader
from store.patients.retired_marks import SavedMarks, last_received, read, text
from store.preference import STAFF, Assertion, emr
from store.runs.runs import Journal

RELEASED, UNDONE = "released_source", "undid_release"
CHUNK = 1_000
OF_SOURCE = """SELECT a.patient_id, a.assertions FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE p.enterprise = ? AND p.merged_into IS NULL AND a.authority = ? AND a.patient_id > ? ORDER BY a.patient_id LIMIT ?"""
SAVED = "SELECT patient_id, mark, staff FROM released_marks WHERE release_id = ? AND patient_id > ? ORDER BY patient_id LIMIT ?"
LATEST = "SELECT id, enterprise, source, patients, cursor, last_heard FROM releases WHERE undone_at IS NULL"
RELEASE_COLUMNS = ("id", "enterprise", "source", "actor", "at", "patients", "cursor", "last_heard")


class Preview(NamedTuple):
    """What retiring a source would unlock: patients in all, and by attribute. ``held``: patients with changes that await review.

    ``changes``: patients by attribute for whom another source's value would come into force. ``more_contactable``: those of them who would
    be more contactable, by attribute and direction.
    """

    source: str
    enterprise: str
    patients: int
    attributes: Mapping[str, int]
    held: int
    changes: Mapping[str, int]
    more_contactable: Mapping[str, int]


class Released(NamedTuple):
    """A completed release or undo: its id, and how many patients it affected."""

    id: str
    source: str
    patients: int


class Release:
    """Retires sources. Thread-safe."""

    def __init__(self, store: Preferences, journal: Journal) -> None:
        self.store, self.journal, self.database = store, journal, store.database
        self.held, self.audit, self.verdicts = HeldChanges(store.database), Audit(store.database), HeldReview(store, journal)

    def owner(self, source: str) -> str:
        """The enterprise of a source that ever sent data, configured or not. Raises :class:`ValueRefused`."""
        with self.database.read() as connection:
            rows = self.database.select(connection, "SELECT enterprise FROM source_states WHERE source = ?", [source])
        if not rows or rows[0][0] not in self.store.enterprises:
            raise ValueRefused("nothing to release: this source never sent data, or is already released")
        return str(rows[0][0])

    def orphans(self) -> list[str]:
        """Sources that sent data and are not released, but left the configuration."""
        configured = {source.name for one in self.store.enterprises.values() for source in one.sources}
        return sorted(source for source in self.journal.last_heard() if source not in configured)

    def preview(self, source: str, now: datetime) -> Preview:
        """What retiring the source would unlock. Changes nothing."""
        enterprise = self.owner(source)
        with self.database.read() as connection:
            found = retirement_impact(self.database, connection, self.store.enterprises[enterprise], source, now)
            attributes, changes = (dict(sorted(one.items())) for one in (found.attributes, found.changes))
            more_contactable = {f"{one.attribute} {one.direction}": one.patients for one in found.impact.counts}
            return Preview(
                source,
                enterprise,
                found.patients,
                attributes,
                self.held.patients_awaiting_review(connection, source),
                changes,
                more_contactable,
            )

    def release(self, source: str, actor: Actor, now: datetime) -> Released:
        """Retires the source in one transaction. What the safeguard holds of it is rejected first. Raises :class:`RunActive`."""
        enterprise = self.owner(source)
        self._reject_held(source, actor, now)
        with self.database.write(enterprise) as transaction:
            self._refuse_active(transaction, source, now)
            number, (cursor, received) = token("rel"), self._state(transaction, source)
            row = (number, enterprise, source, str(actor), now, 0, cursor, received)
            self.database.insert(transaction, ReleaseRow, RELEASE_COLUMNS, [row])
            patients = 0
            for rows in self._pages(transaction, OF_SOURCE, [enterprise, emr(source)]):
                patients += len(rows)
                self._retire(transaction, enterprise, source, number, [row[0] for row in rows], actor, now)
            self.database.update(transaction, ReleaseRow, ("id",), ("patients",), [(patients, number)])
            self.database.delete(transaction, SourceStateRow, ("source",), [(source,)])
            self.audit.changed(transaction, enterprise, RELEASED, source, actor=str(actor), now=now, release=number, patients=patients)
        return Released(number, source, patients)

    def undo(self, source: str | None, actor: Actor, now: datetime) -> Released:
        """Undoes the latest release (of the source): restores its marks and locks. Raises :class:`ValueRefused`."""
        with self.database.read() as connection:
            clause, parameters = (" AND source = ?", [source]) if source else ("", [])
            rows = self.database.select(connection, f"{LATEST}{clause} ORDER BY at DESC LIMIT 1", parameters)
        if not rows or rows[0][1] not in self.store.enterprises:
            raise ValueRefused("no release to undo")
        number, enterprise, name, patients, cursor, received = rows[0]
        with self.database.write(enterprise) as transaction:
            self._mark_undone(transaction, number, actor, now)
            merges = SavedMarks(self.database, transaction).merges_since(number)
            for saved in self._pages(transaction, SAVED, [number]):
                self._restore(transaction, enterprise, name, saved, merges, actor, now)
            if not self.database.select(transaction, "SELECT 1 FROM source_states WHERE source = ?", [name]):
                state = (name, enterprise, cursor, instant(received) if received else None)
                self.database.insert(transaction, SourceStateRow, ("source", "enterprise", "cursor", "last_heard"), [state])
            self.audit.changed(transaction, enterprise, UNDONE, name, actor=str(actor), now=now, release=number, patients=patients)
        return Released(number, name, patients)

    def _retire(
        self, transaction: Connection, enterprise: str, source: str, number: str, patients: list[int], actor: Actor, now: datetime
    ) -> None:
        work, rules = self._work(transaction, enterprise, actor, now, "source released"), self.store.enterprises[enterprise]
        authority = emr(source)
        saved = []
        for patient in work.resume(patients).values():
            saved.append(
                (number, patient.id, *(text(patient.asserted.get(one), patient.last_received.get(one)) for one in (authority, STAFF)))
            )
            held = patient.asserted
            if patient.has_future:
                held = uncovered(held, authority, work.future.of(patient.id), work.refusals_of(patient), rules, now, patient.joined)
            _change(work, patient, inherit(held, authority, source, rules, now), now)
            work.changes.append(work.line(patient, {"mastered_by": (source, None, "")}, number, now))
        self._finish(transaction, work, authority)
        SavedMarks(self.database, transaction).keep(saved)

    def _restore(
        self,
        transaction: Connection,
        enterprise: str,
        source: str,
        saved: Sequence[tuple[int, str, str]],
        merges: set[int],
        actor: Actor,
        now: datetime,
    ) -> None:
        work, rules = self._work(transaction, enterprise, actor, now, "release undone"), self.store.enterprises[enterprise]
        authority = emr(source)
        for number, mark, staff in saved:
            patient = _load_patient(work, number)
            saved_mark = read(mark)
            assert saved_mark is not None
            before = saved_mark, read(staff)
            for side in patient.lineage.sides(number) if patient.lineage is not None else ():
                if side.seq in merges:  # the source was retired when the records were merged
                    work.sides.put(side, restore(work.sides.own(side), authority, source, before, rules, now))
            held = (
                covered(patient.asserted, source, saved_mark, work.future.of(patient.id), authority)
                if patient.has_future
                else patient.asserted
            )
            _change(work, patient, restore(held, authority, source, before, rules, now), now, last_received(mark))
            work.changes.append(work.line(patient, {"mastered_by": (None, source, "")}, "", now))
        self._finish(transaction, work, STAFF)

    def _work(self, transaction: Connection, enterprise: str, actor: Actor, now: datetime, reason: str) -> Application:
        author = Author(STAFF, now, actor=str(actor), reason=reason)
        return Application(self.database, transaction, self.store.enterprises[enterprise], author, self.store.ids)

    def _finish(self, transaction: Connection, work: Application, authority: str) -> None:
        work.finish()
        removed = [(patient.id, authority) for patient in work.open.values() if authority not in patient.asserted]
        self.database.delete(transaction, AssertionRow, ("patient_id", "authority"), removed)

    def _reject_held(self, source: str, actor: Actor, now: datetime) -> None:
        with self.database.read() as connection:
            runs = self.held.undecided_runs(connection, source)
        for run in runs:
            self.verdicts.reject(run, actor, now)

    def _refuse_active(self, transaction: Connection, source: str, now: datetime) -> None:
        self.journal.close_abandoned(transaction, source, now)
        if self.database.select(transaction, "SELECT 1 FROM runs WHERE source = ? AND status = 'running'", [source]):
            raise RunActive(f"{source} has a run in progress: wait for it, or stop the process that runs it")

    def _mark_undone(self, transaction: Connection, number: str, actor: Actor, now: datetime) -> None:
        if not self.database.select(transaction, f"{LATEST} AND id = ?", [number]):
            raise ValueRefused("this release was undone in the meantime")
        self.database.update(transaction, ReleaseRow, ("id",), ("undone_by", "undone_at"), [(str(actor), now, number)])

    def _state(self, transaction: Connection, source: str) -> tuple[str | None, datetime | None]:
        rows = self.database.select(transaction, "SELECT cursor, last_heard FROM source_states WHERE source = ?", [source])
        if not rows:
            raise ValueRefused("the source was released in the meantime")
        return rows[0][0], instant(rows[0][1]) if rows[0][1] else None

    def _pages(self, connection: Connection, sql: str, parameters: list[str]) -> Iterator[list[Any]]:
        last = 0
        while rows := self.database.select(connection, sql, [*parameters, last, CHUNK]):
            yield rows
            last = rows[-1][0]


def _load_patient(work: Application, number: int) -> PatientState:
    """The patient, or the survivor if it was merged since."""
    reader = PatientReader(work.database, work.transaction, work.enterprise)
    row = reader.rows([PatientRef(id=shown(number))])[0]
    if isinstance(row, StoreError):
        raise row
    return work.resume([row[3]])[row[3]]


def _record_handover(work: Application, patient: PatientState, held: dict[str, SourceAssertions]) -> None:
    """Writes history lines for what changes hands, so that every moment can be reconstructed (``store.patients.as_of``)."""
    by = work.author
    for authority in sorted({*patient.asserted, *held}):
        before, after = (one[authority].assertions if authority in one else {} for one in (patient.asserted, held))
        compared = {name: _handover(before.get(name), after.get(name)) for name in {**before, **after}}
        changes = {name: one for name, one in compared.items() if one is not None}
        if changes:
            work.add_history(patient, changes, "", by.now, by._replace(authority=authority))


def _handover(old: Assertion | None, new: Assertion | None) -> tuple[Any, Any, str] | None:
    """One attribute's value before and after, and its path; ``None`` where nothing changes."""
    before, after = (one.value if one else None for one in (old, new))
    path = new.path if new else ""
    return None if before == after and (after is None or (old is not None and old.path == path)) else (before, after, path)


def _change(
    work: Application, patient: PatientState, held: dict[str, SourceAssertions], now: datetime, received: datetime | None = None
) -> None:
    _record_handover(work, patient, held)
    for authority in held:  # also authorities without a change: repeating their statement may now end a kept refusal
        patient.content[authority] = None
        patient.last_received.setdefault(authority, received or now)
    patient.asserted, patient.touched = held, set(held)
    patient.visible = patient.recorded = True
