"""Writes what sources state, a batch at a time: read what stands, merge in memory, write rows in a handful of statements.

A payload whose content already stands costs one row of an update (``store.repeats``); only patients with something new are
read whole, merged and written (``store.opened``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store import documents, merge, opened, ordering, payload, readings, records, remapping, seen, unreadable
from store.database import Database
from store.enterprise import Enterprise
from store.errors import IdentifierConflict
from store.gating import Gate
from store.identifiers import Identifiers
from store.identity import Directory
from store.ids import PatientIds
from store.merging import linking, yielding
from store.merging.sides import Heard, Sides
from store.opened import Open, Row
from store.periods import ahead, refusals
from store.periods.ahead_rows import AheadRows
from store.periods.refusal_rows import RefusalRows
from store.periods.refusals import Refusal
from store.preference import EMR, STAFF, PatientStatements
from store.repeats import Found, Repeats
from store.retiring.inheritance import without_late
from store.texting.binding import Bindings
from store.writing import Writing

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


Changes = Mapping[str, tuple[Any, Any, str]]
"""Attribute -> its value before and after, and the path it was read from."""


class Author(NamedTuple):
    """Who writes, when, and for which reason: the authority's own words, or a person's."""

    authority: str
    now: datetime
    run_id: str | None = None
    actor: str = ""
    reason: str = ""


class Application:
    """One batch of one author in one enterprise, inside one transaction. Use once: :meth:`run`.

    ``gate`` is the brake; without one everything takes effect. ``reader`` is how its source is read today.
    """

    def __init__(
        self,
        database: Database,
        transaction: Connection,
        enterprise: Enterprise,
        author: Author,
        ids: PatientIds,
        gate: Gate | None = None,
        reader: readings.Reader | None = None,
    ) -> None:
        self.database, self.transaction, self.enterprise, self.author, self.ids = database, transaction, enterprise, author, ids
        self.gate = gate
        self.open: dict[int, Open] = {}
        self.sides, self.ahead = Sides(database, transaction), AheadRows(database, transaction)
        self.refusals = RefusalRows(database, transaction)
        self.naming = enterprise.naming(author.authority.removeprefix(EMR))
        self.identifiers = Identifiers(enterprise.name)
        self.changes: list[Row] = []
        self.undecided = 0
        self.outdated: set[int] = set()  # patients of whom something held was read by another mapping, and is read again instead
        self.reader = reader

    def run(self, items: Sequence[PatientStatements]) -> list[Outcome]:
        """Applies the items in order and writes the rows. The outcomes are in the order of the items."""
        author = self.author
        found = Found(self.database, self.transaction, self.enterprise.name, author.authority, self.naming, items)
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

    def resume(self, numbers: Iterable[int]) -> dict[int, Open]:
        """Opens patients to work on one by one; follow with :meth:`finish`."""
        self._load(numbers)
        return self.open

    def create(self) -> Open:
        """Opens a patient nobody has stated anything about yet."""
        return self._patient(None)

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

    def _load(self, patients: Iterable[int]) -> None:
        wanted = [patient for patient in patients if patient not in self.open]
        if not wanted:
            return
        found = opened.read(self.database, self.transaction, self.enterprise.basis, wanted)
        self.open |= found
        held = [record for patient in found.values() if patient.is_held or patient.lineage for record in patient.records]
        if self.gate is not None and held:
            self.gate.load(held)

    def _apply(self, directory: Directory, item: PatientStatements, digest: str) -> Outcome:
        try:
            found = directory.resolve(item.identifiers, self.naming)
        except IdentifierConflict as conflict:
            self._refuse_for_each(directory, item)
            return Outcome("rejected", "identifier_conflict", str(conflict))
        if found.meets is not None:
            return Outcome("rejected", MEETS, "two records of one person: they must be joined first", found.patient)
        if found.linked and found.patient is not None:
            record = linking.link(self, found.patient, item)
            patient = self._patient(found.patient)
        else:
            patient = self._patient(found.patient)
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
            patient = self._patient(number)
            self.state(patient, refused, payload.digest(refused), self._record(patient, directory, item))

    def _patient(self, number: int | None) -> Open:
        if number is None:
            number = self.ids.next()
            self.open[number] = Open(number, self.author.now, is_new=True, visible=True)
        elif number not in self.open:
            self._load([number])
        return self.open[number]

    def _record(self, patient: Open, directory: Directory, item: PatientStatements) -> int:
        """The record that a payload is about by its identifiers, where a patient is more than one; in doubt the patient's first."""
        found = directory.origin(item.identifiers, self.naming) if patient.lineage is not None else None
        return patient.id if found is None else found

    def state(self, patient: Open, item: PatientStatements, digest: str, record: int | None = None) -> str:
        """Merges one payload into an open patient; says what became of it. ``record`` is the one it is about, where there are several."""
        authority, now = self.author.authority, self.author.now
        held, key = patient.held.get(authority), seen.key(digest, item.effective, item.version, item.evidence_id)
        receipt = max([now, *patient.heard.values()])  # our clock may have stepped back, or be another machine's
        patient.heard[authority] = receipt
        patient.touched.add(authority)
        again = self.read_again(patient, record)
        held = patient.held.get(authority)
        if held is not None and seen.knows(held.seen, key) and not payload.was_read_otherwise(held, item):
            return again or "unchanged"
        doubtful = held is not None and seen.resembles(held.seen, key)
        first = seen.first_receipt(held.seen, item.content, item.effective) if held is not None else None
        line = seen.came(held.seen if held is not None else "", item.content, item.effective, receipt)
        item = payload.of_restricted(held, payload.as_received(item, first or receipt))
        is_dated = self._keep_ahead(patient, item, record)
        item = ahead.until_then(held, item) if item.later else item
        whole, item = item, without_late(patient.held, authority, item)
        merged, refused = self._merged(patient, item, record, doubtful=doubtful)
        back: frozenset[str] = frozenset()
        if self.gate is not None and not patient.is_new:
            back = self.gate.sift(patient.id, patient.held, item, merged, record=record or patient.id)
            if back:
                item = payload.without(item, back)
                merged, refused = self._merged(patient, item, record, doubtful=doubtful)
                merged = replace(merged, outcome="held")
        merged = merged if item is whole else replace(merged, settled=False)
        self.undecided += merged.undecided
        was = held.unreadable if held is not None else {}
        self._keep(patient, item, merged, digest, seen.remember(line, key))
        self.keep_refusals(patient, refused)
        self._tell_side(patient, payload.without(whole, back) if back else whole, digest, record)  # it says itself what comes late to it
        is_news = merged.outcome == "unchanged" and (is_dated or patient.held[authority].unreadable != was)
        return "applied" if is_news else again if merged.outcome in ("unchanged", "stale") and again else merged.outcome

    def read_again(self, patient: Open, record: int | None = None) -> str:
        """Reads the codes of a patient by today's mapping, where another did: ``applied``, ``held`` or nothing (``store.remapping``)."""
        return remapping.read_again(self, patient, record or patient.id)

    def _keep_ahead(self, patient: Open, item: PatientStatements, record: int | None) -> bool:
        """Keeps what the periods of a payload will change; whether that is something else than before."""
        if not item.later and not patient.is_dated:
            return False
        changed = self.ahead.hear(patient.id, self.author.authority, item, record or patient.id, known=not patient.is_new)
        patient.is_dated = True
        patient.visible = patient.visible or changed
        return changed

    def _merged(
        self, patient: Open, item: PatientStatements, record: int | None, *, doubtful: bool, is_due: bool = False
    ) -> tuple[merge.Merged, list[Refusal] | None]:
        """What would stand with a payload, and what records would refuse, where any does or did. ``is_due``: or was, and was held."""
        authority, now = self.author.authority, self.author.now
        held = patient.held.get(authority)
        merging = ahead.merged if is_due else _merged
        merged = merging(held, item, now, doubtful=doubtful, joined=patient.joined)
        if not patient.is_refused and not refusals.is_told(item, held):
            return merged, None
        then = refusals.after(self.refusals_of(patient), item, held, patient.id, authority, record or patient.id, replaces=is_due)
        mine = [one for one in then if one.authority == authority]
        return refusals.restored(merged, item, held, mine, now, patient.joined), then

    def refusals_of(self, patient: Open) -> list[Refusal]:
        """What the records of a patient refuse."""
        return self.refusals.of(patient.id, known=patient.is_refused)

    def keep_refusals(self, patient: Open, refused: list[Refusal] | None, but: Collection[str] = ()) -> None:
        """From now on the records of the author refuse that, but for some attributes, of which they refuse what they did."""
        if refused is None:
            return
        authority = self.author.authority
        others = [one for one in self.refusals_of(patient) if one.authority != authority or one.attribute in but]
        those = [one for one in refused if one.authority == authority and one.attribute not in but]
        self.refusals.put(patient.id, [*others, *those])
        patient.is_refused = patient.is_refused or bool(others or those)

    def learn_refusals(self, patient: Open) -> None:
        """Keeps what stands of a patient's records, before it is joined with what stands of another one's."""
        kept = self.refusals_of(patient)
        for authority, held in patient.held.items():
            kept = refusals.known(kept, held, patient.id, authority)
        self.refusals.put(patient.id, kept)
        patient.is_refused = patient.is_refused or bool(kept)

    def fall_due(self, patient: Open) -> None:
        """Applies what the author stated for a moment that has come, as old as its payload is."""
        authority, now = self.author.authority, self.author.now
        kept = self.ahead.of(patient.id)
        due = [one for one in ahead.in_order(kept, now) if one.authority == authority]
        for one in due:
            self._fall_due(patient, patient.held.get(authority), one)
        self.ahead.put(patient.id, [one for one in kept if one not in due])

    def _fall_due(self, patient: Open, held: merge.Held | None, one: ahead.Ahead) -> None:
        authority, now, item = self.author.authority, self.author.now, one.item
        effective = without_late(patient.held, authority, ahead.due_item(one, held))
        if held is None and not effective.statements:
            return
        due = replace(item, codes=ahead.due_codes(held, one))
        effective = replace(effective, codes=due.codes if effective.statements else {})
        merged, refused = ahead.fallen(held, self.refusals_of(patient), one, effective, now, patient.joined)
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

    def _tell_side(self, patient: Open, item: PatientStatements, digest: str, record: int | None) -> None:
        if patient.lineage is not None and record is not None:
            self.sides.hear(patient.lineage, record, Heard(self.author.authority, item, digest, self.author.now))

    def let_through(self, patient: Open, item: PatientStatements, *, doubtful: bool, record: int | None = None) -> bool:
        """Merges what was held back and is let through now, as old as it is; whether it still changes anything.

        What another mapping read than the one that counts by now is read again instead, with the next message or by ``remap``.
        """
        authority, now = self.author.authority, self.author.now
        patient.touched.add(authority)
        patient.heard.setdefault(authority, now)
        held = patient.held.get(authority)
        of_kept = remapping.OF_KEPT in item.codes.values()
        if held is not None and payload.is_of_another_mapping(held, item):
            self.outdated.add(patient.id)
            patient.held[authority] = held if of_kept else payload.to_read_again(held, item, now)
            return False
        if held is not None and of_kept:
            return remapping.let_through(self, patient, held, item.statements)
        whole, item = item, without_late(patient.held, authority, item)
        merged, refused = self._merged(patient, item, record, doubtful=doubtful, is_due=bool(ordering.refuser(item.evidence_id)))
        self._keep(patient, item, replace(merged, settled=False), "", "")
        self.keep_refusals(patient, refused)
        self._tell_side(patient, whole, documents.digest((), whole.statements, whole.version), record)
        return bool(merged.changed)

    def _keep(self, patient: Open, item: PatientStatements, merged: merge.Merged, digest: str, heard: str) -> None:
        """What stands from now on. ``heard``: the payloads seen, with this one; empty for a statement that was kept."""
        authority, now, held = self.author.authority, self.author.now, patient.held.get(self.author.authority)
        line, since = heard or (held.seen if held else ""), held.since if held else now
        was = held.unreadable if held is not None else {}
        marks = was
        if was or item.problems:
            marks = unreadable.after(was, held.current() if held is not None else {}, item, whole=bool(heard), joined=patient.joined)
        patient.held[authority] = merge.Held(
            merged.assertions, merged.confirmed, merged.confirmed, line, since, marks, payload.codes(held, item, now, marks)
        )
        if authority.startswith(EMR) and STAFF in patient.held:
            self._yield_staff(patient, item)
        is_read = not any(one.unreadable for one in patient.held.values())
        alone = patient.lineage is None and not yielding.may_yield(patient.held) and is_read
        patient.content[authority] = digest if merged.settled and alone else None
        changed = {**payload.repeated(patient.held, item, merged), **merged.changed}
        patient.visible = patient.visible or held is None or bool(changed) or marks != was
        if changed:
            self.record(patient, item, changed)

    def _yield_staff(self, patient: Open, item: PatientStatements) -> None:
        """What staff has by a merge, or of a retired source that could not be read, yields to what an EMR states since."""
        was = patient.held[STAFF]
        now = yielding.lifted(was) if yielding.lifts(patient.held, item) else was
        marks = unreadable.settled_by(was.unreadable, item)
        if now is was and marks == was.unreadable:
            return
        patient.held[STAFF] = replace(now, unreadable=marks)
        patient.touched.add(STAFF)
        patient.visible = True

    def record(self, patient: Open, item: PatientStatements, changed: Mapping[str, tuple[Any, Any]]) -> None:
        """One line of the patient's history: what changed, by which evidence."""
        changes = {name: (before, after, item.statements[name].path) for name, (before, after) in changed.items()}
        self.tell(patient, changes, item.evidence_id, item.effective.earliest)

    def tell(self, patient: Open, changes: Changes, evidence_id: str, effective: datetime, by: Author | None = None) -> None:
        """A line of the history of an open patient; see :meth:`line`."""
        self.changes.append(self.line(patient, changes, evidence_id, effective, by))
        patient.recorded = True

    def line(self, patient: Open, changes: Changes, evidence_id: str, effective: datetime, by: Author | None = None) -> Row:
        """A line of the history and of the feed, by the author of the batch unless it is another's."""
        by, version, text = by or self.author, patient.version + 1, documents.write(changes)
        said = (by.authority, by.actor, by.reason, evidence_id, effective, by.run_id)
        return (self.enterprise.name, patient.id, version, by.now, *said, text)


def _merged(held: merge.Held | None, item: PatientStatements, now: datetime, *, joined: datetime | None, doubtful: bool) -> merge.Merged:
    decided = records.decided(held, item, now, joined) | remapping.as_read_now(held, item, now, joined)
    return merge.merge(held, item, now, doubtful=doubtful, joined=joined, decided=decided)


def _known(directory: Directory, item: PatientStatements) -> int | None:
    """The patient whom a payload is about by its first identifier, where that is known."""
    try:
        return directory.find(item.identifiers[0])
    except IdentifierConflict:
        return None
