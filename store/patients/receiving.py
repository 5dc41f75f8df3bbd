"""What one payload changes of one patient: now, when one of its statements falls due, or when a held one is approved."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from store.domain import (
    assertions,
    documents,
    duplicates,
    local_dnc,
    ordering,
    payload,
    periods,
    record_refusals,
    records,
    source_codes,
    unreadable,
)
from store.domain.record_refusals import RecordRefusal
from store.domain.retirement import without_late
from store.patients import remap
from store.patients.merged_sides import ReceivedPayload
from store.patients.patient_batch import PatientBatch
from store.patients.patient_state import PatientState
from store.patients.write_backs import WriteBacks
from store.preference import EMR, STAFF, PatientStatements, RecordOutcome


class Receiving(PatientBatch):
    """A batch that merges statements into its open patients."""

    def receive(self, patient: PatientState, item: PatientStatements, digest: str, record: int | None = None) -> str:
        """Merges one payload into an open patient; returns the outcome. ``record`` is the one it is about, where there are several."""
        receipt = self._receipt(patient)
        reread = self.read_again(patient, record)
        asserted = patient.asserted.get(self.author.authority)
        seen = asserted.seen if asserted is not None else ""
        key = duplicates.key(digest, item.effective, item.version, item.evidence_id)
        if asserted is not None and duplicates.knows(seen, key) and not payload.was_read_otherwise(asserted, item):
            return reread or RecordOutcome.UNCHANGED
        first = duplicates.first_receipt(seen, item.content, item.effective, item.evidence_id)
        seen = duplicates.remember(duplicates.with_receipt(seen, item.content, item.effective, item.evidence_id, receipt), key)
        item = payload.of_restricted(asserted, payload.as_received(item, first or receipt, self.author.now))
        has_future_news = self._keep_future(patient, item, record)
        item = periods.until_then(asserted, item) if item.later else item
        merged = self._merge(patient, item, digest, record, seen, self._outdated(patient, item, key, record))
        marks = asserted.unreadable if asserted is not None else {}
        if merged.outcome == RecordOutcome.UNCHANGED and (has_future_news or patient.asserted[self.author.authority].unreadable != marks):
            return RecordOutcome.APPLIED
        return reread if reread and merged.outcome in (RecordOutcome.UNCHANGED, RecordOutcome.STALE) else merged.outcome

    def _receipt(self, patient: PatientState) -> datetime:
        """When this payload was received: never earlier than the patient's previous receipt, as clocks may differ or be set back."""
        receipt = max([self.author.now, *patient.last_received.values()])
        patient.last_received[self.author.authority] = receipt
        patient.touched.add(self.author.authority)
        return receipt

    def read_again(self, patient: PatientState, record: int | None = None) -> str:
        """Reads a patient's codes by today's mapping if another one read them: ``applied``, ``held`` or "" (``store.patients.remap``)."""
        asserted = patient.asserted.get(self.author.authority)
        if asserted is None or not source_codes.are_of_another_mapping(asserted.codes, self.reader):
            return ""
        return remap.read_again(self, patient, record or patient.id)

    def _keep_future(self, patient: PatientState, item: PatientStatements, record: int | None) -> bool:
        """Keeps the statements of a payload that begin or end later. Returns whether they differ from those known before."""
        if not item.later and not patient.has_future:
            return False
        changed = self.future.replace(patient.id, self.author.authority, item, record or patient.id, known=not patient.is_new)
        patient.has_future = True
        patient.visible = patient.visible or changed
        return changed

    def _outdated(self, patient: PatientState, item: PatientStatements, key: str, record: int | None) -> frozenset[str]:
        """The attributes of a replayed payload that have no effect: its own record had newer evidence when it was merged.

        Such a payload came before the merge. It is not late, so its refusals and what cannot be read in it are outdated as they were then.
        """
        known = remap.at_merge(self, patient, record) if item.received is not None and record is not None else None
        return payload.outdated(item, known) if known is not None and duplicates.knows_evidence(known.seen, key) else frozenset()

    def _merge(
        self, patient: PatientState, item: PatientStatements, digest: str, record: int | None, seen: str, outdated: frozenset[str]
    ) -> assertions.Merged:
        """Merges what may take effect now. What the gate holds back waits for a person; everything else also goes to the record itself."""
        effective = payload.without_any(self._without_late(patient, item), outdated)
        echoed = self._echoed(patient, effective, record) if self.echoes else frozenset()
        effective = payload.without(effective, echoed) if self.echoes else effective
        merged, refused = self._with_refusals(patient, effective, record)
        back: frozenset[str] = frozenset()
        if not patient.is_new:
            back = self.held_back(patient, effective, merged, record=record or patient.id)
        if back:
            effective = payload.without(effective, back)
            merged, refused = self._with_refusals(patient, effective, record)
            merged = replace(merged, outcome=RecordOutcome.HELD)
        merged = merged if effective is item else replace(merged, settled=False)
        self.undecided += merged.undecided
        self._keep(patient, effective, merged, digest, seen, outdated)
        self.keep_refusals(patient, refused)
        left_out = back | echoed
        self._update_merged_record(patient, payload.without(item, left_out) if left_out else item, digest, record, outdated)
        return merged

    def _echoed(self, patient: PatientState, item: PatientStatements, record: int | None) -> frozenset[str]:
        """The attributes of a payload that only repeat what was written into its record."""
        outbox = WriteBacks(self.database)
        return outbox.echo(self.transaction, self.enterprise, self.echoes, patient.id, record or patient.id, item)

    def _without_late(self, patient: PatientState, item: PatientStatements) -> PatientStatements:
        """A payload without what is older than a refusal that staff inherited from its source (``store.domain.retirement``)."""
        return without_late(patient.asserted, self.author.authority, item) if STAFF in patient.asserted else item

    def _with_refusals(
        self, patient: PatientState, item: PatientStatements, record: int | None, *, doubtful: bool = False, is_due: bool = False
    ) -> tuple[assertions.Merged, list[RecordRefusal] | None]:
        """The assertions after merging a payload, and the refusals of records, if any. ``is_due``: it was stated or held before."""
        authority, now = self.author.authority, self.author.now
        asserted = patient.asserted.get(authority)
        merging = periods.merged if is_due else _merge_as_read_now
        merged = merging(asserted, item, now, doubtful=doubtful, joined=patient.joined)
        if not patient.is_refused and not (ordering.refuser(item.evidence_id) and record_refusals.may_change(item, asserted)):
            return merged, None
        refusals = record_refusals.after(
            self.refusals_of(patient), item, asserted, patient.id, authority, record or patient.id, replaces=is_due
        )
        own = [one for one in refusals if one.authority == authority]
        return record_refusals.restored(merged, item, asserted, own, now, patient.joined), refusals

    def fall_due(self, patient: PatientState) -> None:
        """Applies the author's statements whose moment has come, with the time of their payload."""
        authority, now = self.author.authority, self.author.now
        kept = self.future.of(patient.id)
        due = [one for one in periods.in_order(kept, now) if one.authority == authority]
        for one in due:
            self._fall_due(patient, patient.asserted.get(authority), one)
        self.future.put(patient.id, [one for one in kept if one not in due])

    def _fall_due(self, patient: PatientState, asserted: assertions.SourceAssertions | None, one: periods.FutureStatement) -> None:
        authority, now, item = self.author.authority, self.author.now, one.item
        effective = self._without_late(patient, periods.due_item(one, asserted))
        if asserted is None and not effective.statements:
            return
        due = replace(item, codes=periods.due_codes(asserted, one))
        effective = replace(effective, codes=due.codes if effective.statements else {})
        merged, refused = periods.fallen(asserted, self.refusals_of(patient), one, effective, now, patient.joined)
        if self.held_back(patient, due, merged, record=one.origin):
            return
        patient.touched.add(authority)
        patient.last_received.setdefault(authority, now)
        patient.visible = True  # also if the value is the same, such as of phones that keep their periods
        self._keep(patient, effective, replace(merged, settled=False), "", "")
        if asserted is not None and not effective.statements:  # it still counts for the record itself
            patient.asserted[authority] = replace(patient.asserted[authority], codes=payload.codes(asserted, due, now, asserted.unreadable))
        self.keep_refusals(patient, refused)
        self._update_merged_record(patient, effective, documents.digest((), effective.statements, item.version), one.origin)

    def _update_merged_record(
        self, patient: PatientState, item: PatientStatements, digest: str, record: int | None, outdated: frozenset[str] = frozenset()
    ) -> None:
        """Merges a payload into the record it is about, beside the patient, so that an unmerge can restore that record."""
        if patient.lineage is not None and record is not None:
            self.sides.receive(patient.lineage, record, ReceivedPayload(self.author.authority, item, digest, self.author.now, outdated))

    def apply_held(self, patient: PatientState, item: PatientStatements, *, doubtful: bool, record: int | None = None) -> bool:
        """Merges an approved statement, keeping its original time. Returns whether it still changes anything.

        One that was read by a mapping other than today's is not applied: it is read again, with the next message or by ``remap``.
        """
        authority, now = self.author.authority, self.author.now
        patient.touched.add(authority)
        patient.last_received.setdefault(authority, now)
        asserted = patient.asserted.get(authority)
        is_reading = remap.OF_KEPT in item.codes.values()
        if asserted is not None and payload.is_of_another_mapping(asserted, item):
            self.outdated.add(patient.id)
            patient.asserted[authority] = asserted if is_reading else payload.to_read_again(asserted, item, now)
            return False
        if asserted is not None and is_reading:
            return remap.apply_held(self, patient, asserted, item.statements)
        effective = self._without_late(patient, item)
        merged, refused = self._with_refusals(
            patient, effective, record, doubtful=doubtful, is_due=bool(ordering.refuser(item.evidence_id))
        )
        self._keep(patient, effective, replace(merged, settled=False), "", "")
        self.keep_refusals(patient, refused)
        self._update_merged_record(patient, item, documents.digest((), item.statements, item.version), record)
        return bool(merged.changed)

    def _keep(
        self,
        patient: PatientState,
        item: PatientStatements,
        merged: assertions.Merged,
        digest: str,
        seen: str,
        but: frozenset[str] = frozenset(),
    ) -> None:
        """Puts the merged assertions in place. ``seen``: the payloads known, with this one; "" for a statement that was kept.

        ``but``: attributes of the payload that were left out, so that it settles none of their marks.
        """
        authority, now, asserted = self.author.authority, self.author.now, patient.asserted.get(self.author.authority)
        marks = marks_before = asserted.unreadable if asserted is not None else {}
        if marks_before or item.problems:
            before = asserted.current() if asserted is not None else {}
            marks = unreadable.after(marks_before, before, item, whole=bool(seen), joined=patient.joined, but=but)
        patient.asserted[authority] = assertions.SourceAssertions(
            merged.assertions,
            merged.confirmed,
            merged.confirmed,
            seen or (asserted.seen if asserted is not None else ""),
            asserted.since if asserted is not None else now,
            marks,
            payload.codes(asserted, item, now, marks),
        )
        if authority.startswith(EMR) and STAFF in patient.asserted:
            self._yield_staff(patient, item)
        patient.content[authority] = payload.kept_as(digest, item) if merged.settled and _may_be_repeated(patient) else None
        changed = dict(merged.changed)
        if STAFF in patient.asserted:
            changed = {**payload.repeated(patient.asserted, item, merged), **changed}
        patient.visible = patient.visible or asserted is None or bool(changed) or marks != marks_before
        if changed:
            self.record(patient, item, changed)

    def _yield_staff(self, patient: PatientState, item: PatientStatements) -> None:
        """Ends staff's assertions since a merge or a retirement, once an EMR states something later."""
        before = patient.asserted[STAFF]
        after = local_dnc.without_merge_mark(before) if local_dnc.lifts(patient.asserted, item) else before
        marks = unreadable.settled_by(before.unreadable, item)
        if after is before and marks == before.unreadable:
            return
        patient.asserted[STAFF] = replace(after, unreadable=marks)
        patient.touched.add(STAFF)
        patient.visible = True


def _may_be_repeated(patient: PatientState) -> bool:
    """Whether the same content may confirm the patient without being merged: nothing in it would settle or lift anything."""
    all_readable = not any(one.unreadable for one in patient.asserted.values())
    return patient.lineage is None and all_readable and not (STAFF in patient.asserted and local_dnc.may_yield(patient.asserted))


def _merge_as_read_now(
    asserted: assertions.SourceAssertions | None, item: PatientStatements, now: datetime, *, joined: datetime | None, doubtful: bool
) -> assertions.Merged:
    if asserted is None:
        return assertions.merge(None, item, now, doubtful=doubtful, joined=joined)
    before = asserted.current()
    decided = records.decided_as_received(asserted, before, item, now, joined)
    return assertions.merge(asserted, item, now, doubtful=doubtful, joined=joined, decided=decided, before=before)
