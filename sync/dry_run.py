"""What a run would change: the same steps as a run, in transactions that are rolled back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from adapters.base import Adapter, Fetch, IncompleteFetch, IngestResult, Mapper
from store.domain.contactability import permitting_changes
from store.domain.ids import shown
from store.domain.patient import Patient, PatientRef
from store.errors import PatientUnknown
from store.holds.remap_source import Remapping
from store.patients.reader import PatientReader
from store.preference import PatientMerge, PatientStatements, RecordOutcome
from store.web.api.facesheet import as_value
from sync.engine import Engine
from sync.intake import Piece, decided_alone, grouped
from sync.recognition import PayloadReader
from sync.run import Lane, Progress, no_progress

SHOWN = 1000
MORE, LESS, OTHER, NEW = "more_contactable", "less_contactable", "other", "new_patient"


class Difference(NamedTuple):
    """One attribute of one patient that would change. ``patient`` is the store's id; empty for a new patient.

    ``direction`` is as for the safeguard: ``more_contactable``, ``less_contactable`` or ``other``; ``new_patient`` for a new patient, whose
    attributes all have the same number in ``new``.
    """

    patient: str
    attribute: str
    before: Any
    after: Any
    direction: str = OTHER
    new: int = 0


@dataclass(slots=True)
class DryRun:
    """The result: counts by outcome, and the first changes of each direction (``room`` of each, all if it is ``None``).

    ``groups``: the number of all changes by direction and attribute. ``flips``: existing patients who would become more or less
    contactable in some attribute. ``new``: the number of new patients.
    ``note``: what is missing in the result. ``whole``: the response was complete.
    """

    counts: Counter[str] = field(default_factory=Counter)
    changes: list[Difference] = field(default_factory=list)
    room: int | None = SHOWN
    groups: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    flips: dict[str, set[str]] = field(default_factory=lambda: {MORE: set(), LESS: set()})
    note: str = ""
    whole: bool = True
    new: int = 0

    @property
    def more(self) -> int:
        """The number of changes that were left out."""
        return self.groups.total() - len(self.changes)

    def add(self, changes: Sequence[Difference]) -> None:
        """Counts changes, and keeps as many as fit."""
        for change in changes:
            self.groups[change.direction, change.attribute] += 1
            if self.room is None or self.kept[change.direction] < self.room:
                self.kept[change.direction] += 1
                self.changes.append(change)
            if change.patient and change.direction in self.flips:
                self.flips[change.direction].add(change.patient)

    def numbered(self, changes: Sequence[Difference]) -> Sequence[Difference]:
        """The changes of one patient. A new patient is counted and gets a number that distinguishes them from others."""
        if not any(change.direction == NEW for change in changes):
            return changes
        self.new += 1
        return [change._replace(new=self.new) for change in changes]

    @property
    def compared(self) -> dict[str, int]:
        """Counts by outcome and direction, without patient data: what is kept of a comparison."""
        return {**self.counts, **{direction: len(patients) for direction, patients in self.flips.items()}}

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON."""
        changes = [change._asdict() | {"before": as_value(change.before), "after": as_value(change.after)} for change in self.changes]
        counts = {outcome: self.counts.get(outcome, 0) for outcome in RecordOutcome}
        flips = {direction: len(patients) for direction, patients in self.flips.items()}
        details = {"new_patients": self.new, "changes": changes, "more_changes": self.more, "note": self.note or None}
        return {"run": None, "status": "dry-run", "counts": counts, "flips": flips, **details}


class _RolledBack(Exception):
    """Rolls back a transaction that must change nothing."""


def dry_run(
    engine: Engine, lane: Lane, adapter: Adapter, request: Fetch, progress: Progress = no_progress, room: int | None = SHOWN
) -> DryRun:
    """Reads the source and rolls back batch by batch. A record that occurs twice in the source counts twice."""
    result = DryRun(room=room)
    try:
        _read(engine, lane, adapter, replace(request, dry=True), progress, result)
    except IncompleteFetch as short:
        result.note, result.whole = f"the response was incomplete: {short}", False
    return result


def _read(engine: Engine, lane: Lane, adapter: Adapter, request: Fetch, progress: Progress, result: DryRun) -> None:
    done, reading = 0, PayloadReader(adapter.mapper, is_worth_it=False)
    for batch in adapter.fetch(request):
        result.note = batch.note or result.note
        if batch.wait is not None:
            progress(done, batch.total, batch.wait.what)
            engine.stop.wait(batch.wait.seconds)
        for group in grouped(reading.of_batch(batch), engine.batch_size, engine.batch_bytes):
            try_apply(engine, lane, group, result)
        done += len(batch.items)
        progress(done, batch.total)


@contextmanager
def _rolled_back(engine: Engine, lane: Lane) -> Iterator[Any]:
    """A transaction that is always rolled back."""
    try:
        with engine.database.write(lane.enterprise) as transaction:
            yield transaction
            raise _RolledBack
    except _RolledBack:
        return


def try_apply(engine: Engine, lane: Lane, pieces: list[Piece], result: DryRun) -> list[IngestResult]:
    """Adds what these pieces would change to the result, and returns the result of each, in order. Nothing is changed."""
    with _rolled_back(engine, lane) as transaction:
        answers, patients = _apply(engine, transaction, lane, pieces)
        found = _differences(engine, lane, transaction, patients)
    result.counts.update(answer.outcome for answer in answers)
    result.add([change for one in found for change in result.numbered(one)])
    return answers


def remapped(engine: Engine, lane: Lane, mapper: Mapper, progress: Progress = no_progress, room: int | None = SHOWN) -> DryRun:
    """What a remap of the source's patients with the current mapping would change. Nothing is changed."""
    result, work, after = DryRun(room=room), Remapping(engine.preferences, lane.enterprise, lane.source, mapper), 0
    total = work.outdated()
    while outcomes := _remapped_page(engine, lane, work, after, result):
        after = max(outcomes)
        progress(sum(result.counts.values()), total)
    return result


def _remapped_page(engine: Engine, lane: Lane, work: Remapping, after: int, result: DryRun) -> dict[int, str]:
    with _rolled_back(engine, lane) as transaction:
        outcomes = work.page(transaction, engine.batch_size, after=after, now=engine.clock())
        changed = [number for number, outcome in outcomes.items() if outcome == RecordOutcome.APPLIED]
        found = _differences(engine, lane, transaction, changed)
    result.counts.update(outcomes.values())
    result.add([change for one in found for change in one])
    return outcomes


def _differences(engine: Engine, lane: Lane, transaction: Any, patients: Iterable[int]) -> list[list[Difference]]:
    reader = PatientReader(engine.database, transaction, engine.preferences.enterprises[lane.enterprise])
    return [_difference(engine, lane, reader, shown(number)) for number in patients]


def _apply(engine: Engine, transaction: Any, lane: Lane, pieces: list[Piece]) -> tuple[list[IngestResult], list[int]]:
    decided = [decided_alone(piece.item) for piece in pieces]
    items = [piece.item for piece in pieces if isinstance(piece.item, PatientStatements | PatientMerge)]
    outcomes = engine.preferences.apply_many(transaction, lane.enterprise, lane.source, items, now=engine.clock()) if items else []
    with_changes = (RecordOutcome.APPLIED, RecordOutcome.MERGED)
    changed = {one.patient_id: None for one in outcomes if one.outcome in with_changes and one.patient_id is not None}
    applied = (IngestResult(one.outcome, one.reason, one.detail) for one in outcomes)
    return [next(applied) if answer is None else answer for answer in decided], list(changed)


def _difference(engine: Engine, lane: Lane, reader: PatientReader, patient: str) -> list[Difference]:
    """Compares the values in force inside the transaction with the committed ones, which another connection reads."""
    after = reader.patient(PatientRef(id=patient))
    try:
        before: Patient | None = engine.preferences.find(lane.enterprise, PatientRef(id=patient))
    except PatientUnknown:
        before = None
    had = {name: one.value for name, one in before.preferences.items()} if before else {}
    has = {name: one.value for name, one in after.preferences.items()}
    changed = [name for name in sorted(had.keys() | has.keys()) if had.get(name) != has.get(name)]
    if before is None:
        return [Difference("", name, None, has.get(name), NEW) for name in changed]
    more = permitting_changes(before.preferences, after.preferences, changed)
    less = permitting_changes(after.preferences, before.preferences, changed)
    directions = dict.fromkeys(less, LESS) | dict.fromkeys(more, MORE)
    return [Difference(patient, name, had.get(name), has.get(name), directions.get(name, OTHER)) for name in changed]
