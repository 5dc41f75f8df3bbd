"""What a run would change: everything is done as in a run, in transactions that are rolled back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from adapters.base import Adapter, Answer, BrokeOff, Fetch
from store.errors import PatientUnknown
from store.ids import shown
from store.merge import more_restrictive
from store.patient import Patient, PatientRef
from store.preference import PatientMerge, PatientStatements
from store.reading import Reader
from sync.engine import Engine
from sync.lane import Lane
from sync.piece import OUTCOMES, Piece, decided_alone
from sync.progress import Progress, no_progress

SHOWN = 1000
MORE, LESS, OTHER = "more_contactable", "less_contactable", "other"


class Difference(NamedTuple):
    """One attribute of one patient that would change. ``patient`` is the store's id, empty for one it does not have yet."""

    patient: str
    attribute: str
    before: Any
    after: Any

    @property
    def direction(self) -> str:
        """``more_contactable`` or ``less_contactable`` where the value permits or refuses; else ``other``."""
        if more_restrictive(self.attribute, self.before, self.after):
            return MORE
        return LESS if more_restrictive(self.attribute, self.after, self.before) else OTHER


@dataclass(slots=True)
class DryRun:
    """Counts by outcome, and the first changes (at most ``SHOWN``; ``more`` says how many are left out).

    ``flips``: the patients known before who would be more, or less, contactable in some attribute. ``note``: what is missing in it;
    ``whole``: the answer did not break off.
    """

    counts: Counter[str] = field(default_factory=Counter)
    changes: list[Difference] = field(default_factory=list)
    more: int = 0
    flips: dict[str, set[str]] = field(default_factory=lambda: {MORE: set(), LESS: set()})
    note: str = ""
    whole: bool = True

    def add(self, changes: Sequence[Difference]) -> None:
        """Keeps what there is room for."""
        room = SHOWN - len(self.changes)
        self.changes.extend(changes[:room])
        self.more += max(0, len(changes) - room)
        for change in changes:
            if change.patient and change.direction in self.flips:
                self.flips[change.direction].add(change.patient)

    @property
    def compared(self) -> dict[str, int]:
        """Counts by outcome and direction, without anything about a patient: what is kept of a comparison."""
        return {**self.counts, **{direction: len(patients) for direction, patients in self.flips.items()}}

    def as_dict(self) -> dict[str, Any]:
        """As scripts read it."""
        changes = [change._asdict() | {"direction": change.direction} for change in self.changes]
        counts = {outcome: self.counts.get(outcome, 0) for outcome in OUTCOMES}
        flips = {direction: len(patients) for direction, patients in self.flips.items()}
        told = {"changes": changes, "more_changes": self.more, "note": self.note or None}
        return {"run": None, "status": "dry-run", "counts": counts, "flips": flips, **told}


class _RolledBack(Exception):
    """Ends a transaction that must leave nothing."""


def dry_run(engine: Engine, lane: Lane, adapter: Adapter, request: Fetch, progress: Progress = no_progress) -> DryRun:
    """Reads the source and throws the result away, batch by batch. One record twice in a source counts twice."""
    result = DryRun()
    try:
        _read(engine, lane, adapter, replace(request, dry=True), progress, result)
    except BrokeOff as short:
        result.note, result.whole = f"the answer broke off: {short}", False
    return result


def _read(engine: Engine, lane: Lane, adapter: Adapter, request: Fetch, progress: Progress, result: DryRun) -> None:
    done = 0
    for batch in adapter.fetch(request):
        result.note = batch.note or result.note
        if batch.wait is not None:
            progress(done, batch.total, batch.wait.what)
            engine.stop.wait(batch.wait.seconds)
        for start in range(0, len(batch.items), engine.batch_size):
            attempt(engine, lane, [Piece(item) for item in batch.items[start : start + engine.batch_size]], result)
        done += len(batch.items)
        progress(done, batch.total)


def attempt(engine: Engine, lane: Lane, pieces: list[Piece], result: DryRun) -> None:
    """What these pieces would change goes into the result; nothing is changed."""
    try:
        with engine.database.write(lane.enterprise) as transaction:
            answers, patients = _apply(engine, transaction, lane, pieces)
            reader = Reader(engine.database, transaction, engine.preferences.enterprises[lane.enterprise])
            changes = [change for number in patients for change in _difference(engine, lane, reader, shown(number))]
            raise _RolledBack
    except _RolledBack:
        result.counts.update(answer.outcome for answer in answers)
        result.add(changes)


def _apply(engine: Engine, transaction: Any, lane: Lane, pieces: list[Piece]) -> tuple[list[Answer], list[int]]:
    alone = [answer for piece in pieces if (answer := decided_alone(piece.item)) is not None]
    items = [piece.item for piece in pieces if isinstance(piece.item, PatientStatements | PatientMerge)]
    outcomes = engine.preferences.apply_many(transaction, lane.enterprise, lane.source, items, now=engine.clock()) if items else []
    changed = {one.patient_id: None for one in outcomes if one.outcome in ("applied", "merged") and one.patient_id is not None}
    return [*alone, *(Answer(one.outcome, one.reason, one.detail) for one in outcomes)], list(changed)


def _difference(engine: Engine, lane: Lane, reader: Reader, patient: str) -> Iterator[Difference]:
    """What is in force inside the transaction against what is committed, by a connection that does not see it."""
    after = reader.patient(PatientRef(id=patient))
    try:
        before: Patient | None = engine.preferences.find(lane.enterprise, PatientRef(id=patient))
    except PatientUnknown:
        before = None
    had = {name: one.value for name, one in before.preferences.items()} if before else {}
    has = {name: one.value for name, one in after.preferences.items()}
    for attribute in sorted(had.keys() | has.keys()):
        if had.get(attribute) != has.get(attribute):
            yield Difference(patient if before else "", attribute, had.get(attribute), has.get(attribute))
