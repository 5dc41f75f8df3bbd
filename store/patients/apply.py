"""Writes what sources state, a batch at a time: read what stands, merge in memory, write rows in a handful of statements.

A payload whose content already stands costs one row of an update (``store.patients.duplicate_detection``); only patients with something
new are read whole, merged and written (``store.patients.patient_state``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from store.domain import assertions, documents, duplicates, local_dnc, ordering, payload, periods, record_refusals, records, unreadable
from store.domain.identifiers import Directory
from store.domain.record_refusals import RecordRefusal
from store.domain.retirement import without_late
from store.errors import IdentifierConflict
from store.patients import linking, remap
from store.patients.duplicate_detection import KnownPatients, Repeats
from store.patients.merged_sides import ReceivedPayload
from store.patients.patient_batch import PatientBatch
from store.patients.patient_state import PatientState
from store.preference import EMR, STAFF, PatientStatements

MEETS = "records_meet"
"""The reason of an item that waits for two records to be joined, within ``store``: nobody else is told of it."""


class Outcome(NamedTuple):
    """What became of one item: ``applied | unchanged | stale | merged | rejected``, with a reason code when rejected.

    ``undecided``: for how many attributes nobody could tell whether it is newer.
    """

    outcome: str
    reason: str = ""
    detail: str = ""
    patient_id: int | None = None
    undecided: int = 0


class Application(PatientBatch):
    """A batch that is decided: what each payload, and each thing that falls due, changes. Use once: :meth:`run`."""

    def run(self, items: Sequence[PatientStatements]) -> list[Outcome]:
        """Applies the items in order and writes the rows. The outcomes are in the order of the items."""
        author = self.author
        found = KnownPatients(self.database, self.transaction, self.enterprise.name, author.authority, self.naming, items)
        digests = [payload.digest(item) for item in items]
        patients = [_known(found.directory, item) for item in items]
        news = {
            patient
            for patient, digest in zip(patients, digests, strict=True)
            if patient is not None and not found.standing[patient].is_said_by(digest, self.enterprise.basis)
        }
        self._load(news)
        found.learn_about((one, item) for one, item in zip(patients, items, strict=True) if one is not None and one in news)
        repeats, outcomes = Repeats(author.authority, author.now), []
        for patient, item, digest in zip(patients, items, digests, strict=True):
            if patient is not None and patient not in news:
                repeats.hear(patient, found.standing[patient], item, digest)
                outcomes.append(Outcome("unchanged", patient_id=patient))
            else:
                outcomes.append(self._apply(found.directory, item, digest))
        writing = self._prepared()
        with self.database.together(self.transaction, len(items)):
            repeats.write(self.database, self.transaction)
            self._write(writing)
            if self.gate is not None:
                self.gate.write()
        return outcomes

    def _apply(self, directory: Directory, item: PatientStatements, digest: str) -> Outcome:
        try:
            found = directory.resolve(item.identifiers, self.naming)
        except IdentifierConflict as conflict:
            self._refuse_for_each(directory, item)
            return Outcome("rejected", "identifier_conflict", str(conflict))
        if found.meets is not None:
            return Outcome("rejected", MEETS, "two records of one person: they must be merged first", found.patient)
        if found.linked and found.patient is not None:
            record = linking.link(self, found.patient, item)
            patient = self.patient(found.patient)
        else:
            patient = self.patient(found.patient)
            record = self._record(patient, directory, item)
        self.identifiers.name(directory, patient.id, record, item.identifiers, self.naming.kinds(item.identifiers))
        before, outcome = self.undecided, self.state(patient, item, digest, record)
        return Outcome(outcome, patient_id=patient.id, undecided=self.undecided - before)

    def _refuse_for_each(self, directory: Directory, item: PatientStatements) -> None:
        """What refuses in a payload that names several known patients counts for each of them; nothing else of it does."""
        refused = payload.refusals(item)
        if not refused.statements and not refused.problems:
            return
        for number in sorted(directory.owners(item.identifiers, self.naming)):
            patient = self.patient(number)
            self.state(patient, refused, payload.digest(refused), self._record(patient, directory, item))

    def _record(self, patient: PatientState, directory: Directory, item: PatientStatements) -> int:
        """The record that a payload is about by its identifiers, where a patient is more than one; in doubt the patient's first."""
        found = directory.origin(item.identifiers, self.naming) if patient.lineage is not None else None
        return patient.id if found is None else found

    def state(self, patient: PatientState, item: PatientStatements, digest: str, record: int | None = None) -> str:
        """Merges one payload into an open patient; says what became of it. ``record`` is the one it is about, where there are several."""
        authority, now = self.author.authority, self.author.now
        held, key = patient.held.get(authority), duplicates.key(digest, item.effective, item.version, item.evidence_id)
        receipt = max([now, *patient.heard.values()])  # our clock may have stepped back, or be another machine's
        patient.heard[authority] = receipt
        patient.touched.add(authority)
        again = self.read_again(patient, record)
        held = patient.held.get(authority)
        if held is not None and duplicates.knows(held.seen, key) and not payload.was_read_otherwise(held, item):
            return again or "unchanged"
        first = duplicates.first_receipt(held.seen, item.content, item.effective, item.evidence_id) if held is not None else None
        line = duplicates.came(held.seen if held is not None else "", item.content, item.effective, item.evidence_id, receipt)
        item = payload.of_restricted(held, payload.as_received(item, first or receipt))
        is_dated = self._keep_ahead(patient, item, record)
        item = periods.until_then(held, item) if item.later else item
        whole, item = item, without_late(patient.held, authority, item)
        merged, refused = self._merged(patient, item, record)
        back: frozenset[str] = frozenset()
        if self.gate is not None and not patient.is_new:
            back = self.gate.sift(patient.id, patient.held, item, merged, record=record or patient.id)
            if back:
                item = payload.without(item, back)
                merged, refused = self._merged(patient, item, record)
                merged = replace(merged, outcome="held")
        merged = merged if item is whole else replace(merged, settled=False)
        self.undecided += merged.undecided
        was = held.unreadable if held is not None else {}
        self._keep(patient, item, merged, digest, duplicates.remember(line, key))
        self.keep_refusals(patient, refused)
        self._tell_side(patient, payload.without(whole, back) if back else whole, digest, record)  # it says itself what comes late to it
        is_news = merged.outcome == "unchanged" and (is_dated or patient.held[authority].unreadable != was)
        return "applied" if is_news else again if merged.outcome in ("unchanged", "stale") and again else merged.outcome

    def read_again(self, patient: PatientState, record: int | None = None) -> str:
        """Reads the codes of a patient by today's mapping, where another did: ``applied``, ``held`` or nothing
        (``store.patients.remap``)."""
        return remap.read_again(self, patient, record or patient.id)

    def _keep_ahead(self, patient: PatientState, item: PatientStatements, record: int | None) -> bool:
        """Keeps what the periods of a payload will change; whether that is something else than before."""
        if not item.later and not patient.is_dated:
            return False
        changed = self.ahead.hear(patient.id, self.author.authority, item, record or patient.id, known=not patient.is_new)
        patient.is_dated = True
        patient.visible = patient.visible or changed
        return changed

    def _merged(
        self, patient: PatientState, item: PatientStatements, record: int | None, *, doubtful: bool = False, is_due: bool = False
    ) -> tuple[assertions.Merged, list[RecordRefusal] | None]:
        """What would stand with a payload, and what records would refuse, where any does or did. ``is_due``: or was, and was held."""
        authority, now = self.author.authority, self.author.now
        held = patient.held.get(authority)
        merging = periods.merged if is_due else _merged
        merged = merging(held, item, now, doubtful=doubtful, joined=patient.joined)
        if not patient.is_refused and not record_refusals.is_told(item, held):
            return merged, None
        then = record_refusals.after(self.refusals_of(patient), item, held, patient.id, authority, record or patient.id, replaces=is_due)
        mine = [one for one in then if one.authority == authority]
        return record_refusals.restored(merged, item, held, mine, now, patient.joined), then

    def fall_due(self, patient: PatientState) -> None:
        """Applies what the author stated for a moment that has come, as old as its payload is."""
        authority, now = self.author.authority, self.author.now
        kept = self.ahead.of(patient.id)
        due = [one for one in periods.in_order(kept, now) if one.authority == authority]
        for one in due:
            self._fall_due(patient, patient.held.get(authority), one)
        self.ahead.put(patient.id, [one for one in kept if one not in due])

    def _fall_due(self, patient: PatientState, held: assertions.SourceAssertions | None, one: periods.FutureStatement) -> None:
        authority, now, item = self.author.authority, self.author.now, one.item
        effective = without_late(patient.held, authority, periods.due_item(one, held))
        if held is None and not effective.statements:
            return
        due = replace(item, codes=periods.due_codes(held, one))
        effective = replace(effective, codes=due.codes if effective.statements else {})
        merged, refused = periods.fallen(held, self.refusals_of(patient), one, effective, now, patient.joined)
        if self.gate is not None and self.gate.sift(patient.id, patient.held, due, merged, record=one.origin):
            return
        patient.touched.add(authority)
        patient.heard.setdefault(authority, now)
        patient.visible = True  # also where the value is the same, such as of phones that keep their periods
        self._keep(patient, effective, replace(merged, settled=False), "", "")
        if held is not None and not effective.statements:  # of the record itself it counts
            patient.held[authority] = replace(patient.held[authority], codes=payload.codes(held, due, now, held.unreadable))
        self.keep_refusals(patient, refused)
        self._tell_side(patient, effective, documents.digest((), effective.statements, item.version), one.origin)

    def _tell_side(self, patient: PatientState, item: PatientStatements, digest: str, record: int | None) -> None:
        if patient.lineage is not None and record is not None:
            self.sides.hear(patient.lineage, record, ReceivedPayload(self.author.authority, item, digest, self.author.now))

    def let_through(self, patient: PatientState, item: PatientStatements, *, doubtful: bool, record: int | None = None) -> bool:
        """Merges what was held back and is let through now, as old as it is; whether it still changes anything.

        What another mapping read than the one that counts by now is read again instead, with the next message or by ``remap``.
        """
        authority, now = self.author.authority, self.author.now
        patient.touched.add(authority)
        patient.heard.setdefault(authority, now)
        held = patient.held.get(authority)
        of_kept = remap.OF_KEPT in item.codes.values()
        if held is not None and payload.is_of_another_mapping(held, item):
            self.outdated.add(patient.id)
            patient.held[authority] = held if of_kept else payload.to_read_again(held, item, now)
            return False
        if held is not None and of_kept:
            return remap.let_through(self, patient, held, item.statements)
        whole, item = item, without_late(patient.held, authority, item)
        merged, refused = self._merged(patient, item, record, doubtful=doubtful, is_due=bool(ordering.refuser(item.evidence_id)))
        self._keep(patient, item, replace(merged, settled=False), "", "")
        self.keep_refusals(patient, refused)
        self._tell_side(patient, whole, documents.digest((), whole.statements, whole.version), record)
        return bool(merged.changed)

    def _keep(self, patient: PatientState, item: PatientStatements, merged: assertions.Merged, digest: str, heard: str) -> None:
        """What stands from now on. ``heard``: the payloads seen, with this one; empty for a statement that was kept."""
        authority, now, held = self.author.authority, self.author.now, patient.held.get(self.author.authority)
        line, since = heard or (held.seen if held else ""), held.since if held else now
        was = held.unreadable if held is not None else {}
        marks = was
        if was or item.problems:
            marks = unreadable.after(was, held.current() if held is not None else {}, item, whole=bool(heard), joined=patient.joined)
        patient.held[authority] = assertions.SourceAssertions(
            merged.assertions, merged.confirmed, merged.confirmed, line, since, marks, payload.codes(held, item, now, marks)
        )
        if authority.startswith(EMR) and STAFF in patient.held:
            self._yield_staff(patient, item)
        is_read = not any(one.unreadable for one in patient.held.values())
        alone = patient.lineage is None and not local_dnc.may_yield(patient.held) and is_read
        patient.content[authority] = digest if merged.settled and alone else None
        changed = {**payload.repeated(patient.held, item, merged), **merged.changed}
        patient.visible = patient.visible or held is None or bool(changed) or marks != was
        if changed:
            self.record(patient, item, changed)

    def _yield_staff(self, patient: PatientState, item: PatientStatements) -> None:
        """What staff has by a merge, or of a retired source that could not be read, yields to what an EMR states since."""
        was = patient.held[STAFF]
        now = local_dnc.lifted(was) if local_dnc.lifts(patient.held, item) else was
        marks = unreadable.settled_by(was.unreadable, item)
        if now is was and marks == was.unreadable:
            return
        patient.held[STAFF] = replace(now, unreadable=marks)
        patient.touched.add(STAFF)
        patient.visible = True


def _merged(
    held: assertions.SourceAssertions | None, item: PatientStatements, now: datetime, *, joined: datetime | None, doubtful: bool
) -> assertions.Merged:
    decided = records.decided(held, item, now, joined) | remap.as_read_now(held, item, now, joined)
    return assertions.merge(held, item, now, doubtful=doubtful, joined=joined, decided=decided)


def _known(directory: Directory, item: PatientStatements) -> int | None:
    """The patient whom a payload is about by its first identifier, where that is known."""
    try:
        return directory.find(item.identifiers[0])
    except IdentifierConflict:
        return None
