"""Merges two records of one person (product rule 5.7): assertions are joined, and every opt-out of either survives.

The merged patient's rows are kept unchanged, so that the merge can be undone. Its identifiers and its id resolve to the survivor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from store import times
from store.db.tables import PatientRow, PhoneRow, SearchRow
from store.domain import assertions, local_dnc, payload, record_refusals
from store.domain.documents import instant
from store.domain.identifiers import FORMER, LINKING, LOOKUP, OWN, Directory, KnownIdentifier, LinkRefused, is_alike
from store.errors import MergeRefused, StoreError
from store.patients import linking
from store.patients.apply import Application, Outcome
from store.patients.batch_rows import SEARCH_COLUMNS, search_rows
from store.patients.duplicate_detection import OF_PATIENTS
from store.patients.opt_out_bindings import Bindings
from store.patients.patient_state import PatientState
from store.preference import STAFF, Identifier, PatientMerge, RecordOutcome

OWNERS = "SELECT value, authority, type, patient_id, origin, kind FROM identifiers WHERE enterprise = ? AND value IN ??"
MERGED_BY = "SELECT effective, at FROM merges WHERE merged = ? AND source = ? AND evidence_id = ?"
MOVE = "UPDATE identifiers SET patient_id = {survivor} WHERE patient_id = {merged}"


class Joining:
    """One merge inside one transaction. Use once: :meth:`run`."""

    def __init__(self, application: Application, item: PatientMerge) -> None:
        self.work, self.stated = application, item.effective
        self.item = replace(item, effective=times.received(item.effective, application.author.now))
        self.database, self.transaction = application.database, application.transaction

    def run(self) -> Outcome:
        """Merges the two records, or returns the reason why not.

        Reasons: ``merge_with_itself``, ``merge_circular``, ``identifier_conflict``, ``identifier_in_use``, ``patient_unknown``.
        """
        if _alike(self.item.survivor[0], self.item.merged[0]):
            return Outcome(RecordOutcome.REJECTED, "merge_with_itself", "a patient cannot be merged with itself")
        try:
            survivor, merged = self._resolve()
        except MergeRefused as error:
            return Outcome(RecordOutcome.REJECTED, "merge_circular", str(error))
        except StoreError as error:
            return Outcome(RecordOutcome.REJECTED, "identifier_conflict", str(error))
        if any(known is None and self._only_links(named) for known, named in ((survivor, self.item.survivor), (merged, self.item.merged))):
            detail = "one of the two records has only a linking identifier that no patient has yet: replay after the record arrives"
            return Outcome(RecordOutcome.REJECTED, "patient_unknown", detail)
        if self.item.renamed:
            return self._rename(survivor, merged)
        if survivor is not None and survivor == merged:
            return Outcome(self._complete(survivor), patient_id=survivor)
        if merged is not None and self._was_undone(merged):
            return Outcome(RecordOutcome.STALE, patient_id=survivor)
        return Outcome(RecordOutcome.MERGED, patient_id=self._join(survivor, merged))

    def _resolve(self) -> tuple[int | None, int | None]:
        item = self.item
        values = list({one.value for one in (*item.survivor, *item.merged)})
        self.owners = Directory(
            KnownIdentifier(*row) for row in self.database.select(self.transaction, OWNERS, [self.work.enterprise.name, values])
        )
        candidates = self.owners.candidates(item.survivor) | self.owners.candidates(item.merged)
        survivors = {self.owners.find(item.survivor[0]), self.owners.find(item.merged[0])} - {None}
        self._learn(candidates | {one for one in survivors if one is not None})
        survivor, merged = self._about(item.survivor), self._about(item.merged)
        if survivor is not None and survivor == merged:
            _refuse_inverse(survivor, self.owners, item)
        return survivor, merged

    def _only_links(self, identifiers: Sequence[Identifier]) -> bool:
        return set(self.work.naming.kinds(identifiers)) <= {LINKING, LOOKUP}

    def _learn(self, patients: set[int]) -> None:
        rows = self.database.select(self.transaction, OF_PATIENTS, [list(patients)]) if patients else []
        self.owners.load(KnownIdentifier(*row) for row in rows)

    def _about(self, identifiers: Sequence[Identifier]) -> int | None:
        """The owner of these identifiers. A linking identifier of a patient with another own one is ignored: a merge names both."""
        try:
            return self.owners.resolve(identifiers, self.work.naming).patient
        except LinkRefused:
            return None

    def _complete(self, patient_id: int) -> str:
        """Adds the identifiers of a merge whose two records are one patient already, perhaps linked by another identifier."""
        patient = self.work.resume([patient_id], with_lineages=False)[patient_id]
        self._keep_identifiers(patient, self.item.survivor)
        self._keep_identifiers(patient, self.item.merged, replaced=True)
        new = bool(self.work.identifiers.new)
        self.work.finish()
        return RecordOutcome.MERGED if new else RecordOutcome.UNCHANGED

    def _rename(self, survivor: int | None, merged: int | None) -> Outcome:
        """Gives a record a new identifier. One that belongs to another record is rejected: only a merge may join the two."""
        if survivor is not None and merged is not None and survivor != merged:
            detail = "the new identifier belongs to another patient: if both are the same person, send a merge"
            return Outcome(RecordOutcome.REJECTED, "identifier_in_use", detail)
        patient = survivor if survivor is not None else merged
        if patient is None:
            patient = self.work.create().id
        return Outcome(self._complete(patient), patient_id=patient)

    def _was_undone(self, merged: int) -> bool:
        """Whether this very message merged the record before and a person undid it: a repeat does not merge it again."""
        found = self.database.select(self.transaction, MERGED_BY, [merged, self.work.author.authority, self.item.evidence_id])
        return any(instant(effective) == times.received(self.stated, instant(at)).latest for effective, at in found)

    def _join(self, survivor_id: int | None, merged_id: int | None) -> int:
        opened = self.work.resume([one for one in (survivor_id, merged_id) if one is not None], with_lineages=False)
        survivor = opened[survivor_id] if survivor_id is not None else self.work.create()
        self._keep_identifiers(survivor, self.item.survivor)
        merged = opened[merged_id] if merged_id is not None else self.work.create()
        self._keep_identifiers(merged, self.item.merged)
        before = linking.assertions_as_text(self.work, survivor.id)
        for one in (survivor, merged):
            self.work.learn_refusals(one)
        had = [(one.id, number) for one in (survivor, merged) for number in sorted(one.numbers)]
        self._take_over(survivor, merged)
        self._anchor(survivor)
        lost = [(record, number) for record, number in had if number not in survivor.listed]
        self.work.finish()
        Bindings(self.database, self.transaction, self.work.enterprise.name).join(survivor.id, merged.id, lost, self.work.author.now)
        self._retire(survivor, merged, before)
        if merged.has_future:
            self.work.future.move(survivor.id, merged.id)
        if merged.is_refused:
            self.work.refusals.move(survivor.id, merged.id)
        return survivor.id

    def _keep_identifiers(self, patient: PatientState, identifiers: Sequence[Identifier], *, replaced: bool = False) -> None:
        kinds = self.work.naming.kinds(identifiers)
        if replaced:
            kinds = [FORMER if kind == OWN else kind for kind in kinds]
        self.work.identifiers.name(self.owners, patient.id, patient.id, identifiers, kinds)

    def _take_over(self, survivor: PatientState, merged: PatientState) -> None:
        """Joins the assertions about both into the survivor."""
        was = {
            name: {attribute: one.value for attribute, one in asserted.assertions.items()} for name, asserted in survivor.asserted.items()
        }
        for one in (survivor, merged):
            one.asserted = {authority: payload.to_be_joined(asserted) for authority, asserted in one.asserted.items()}
        local = any(local_dnc.is_in_force(one.asserted, self.work.enterprise) for one in (survivor, merged))
        for authority, asserted in merged.asserted.items():
            own = survivor.asserted.get(authority)
            joined = payload.joined(own, asserted) if own else asserted
            survivor.asserted[authority] = joined
            survivor.content[authority] = None  # the next payload is merged, not only compared
            survivor.last_received[authority] = max(
                survivor.last_received.get(authority, merged.last_received[authority]), merged.last_received[authority]
            )
            survivor.touched.add(authority)
            self._record(survivor, authority, was.get(authority, {}), joined)
        kept = [*self.work.refusals_of(survivor), *self.work.refusals_of(merged)]
        survivor.asserted = record_refusals.with_refusals(survivor.asserted, kept, self.work.author.now) if kept else survivor.asserted
        survivor.visible = True
        if local:
            survivor.asserted[STAFF] = local_dnc.with_merge_mark(survivor.asserted[STAFF])
            survivor.touched.add(STAFF)

    def _anchor(self, survivor: PatientState) -> None:
        for authority, asserted in survivor.asserted.items():
            survivor.asserted[authority] = assertions.anchored(asserted, self.item.effective.latest)
            survivor.content[authority] = None
            survivor.touched.add(authority)

    def _record(self, survivor: PatientState, authority: str, was: dict[str, object], joined: assertions.SourceAssertions) -> None:
        changes = {name: (was.get(name), one.value, one.path) for name, one in joined.assertions.items() if was.get(name) != one.value}
        by = self.work.author._replace(authority=authority)
        self.work.add_history(survivor, changes, self.item.evidence_id, self.item.effective.earliest, by)

    def _retire(self, survivor: PatientState, merged: PatientState, before: str) -> None:
        work, now = self.work, self.work.author.now
        self.transaction.exec_driver_sql(MOVE.format(survivor=survivor.id, merged=merged.id))
        retired = (survivor.id, merged.version + 1, now, "", merged.id)
        self.database.update(self.transaction, PatientRow, ("id",), ("merged_into", "version", "updated", "search_entry"), [retired])
        found_by = search_rows(work.enterprise.name, merged.entry or "", merged.id)
        self.database.delete(self.transaction, SearchRow, SEARCH_COLUMNS, found_by)
        gone = [(work.enterprise.name, number, merged.id) for number in sorted(merged.numbers)]
        self.database.delete(self.transaction, PhoneRow, ("enterprise", "number", "patient_id"), gone)
        stated = self.item.effective
        linking.write(work, survivor.id, merged, self.item.evidence_id, (stated.earliest, stated.latest), before)


def _alike(one: Identifier, other: Identifier) -> bool:
    """Whether both name the same record. Two records of one person may share further identifiers, never the own one."""
    return one.value == other.value and is_alike(one, other)


def _refuse_inverse(patient: int, owners: Directory, item: PatientMerge) -> None:
    """Refuses a merge of two records that are one patient already, in the opposite direction: it would close a circle."""
    survivor, merged = owners.record_of(item.survivor[0]), owners.record_of(item.merged[0])
    if survivor not in (patient, None) and merged == patient:
        raise MergeRefused("the survivor was merged into this patient earlier: the two messages contradict each other")
