"""Where the safeguard acts: inside the batch that would make patients more contactable, before anything of it is written.

What stops contact is applied at once. What permits contact is applied where the guard admits its patient, and is held otherwise; the
rest of its payload is applied without it.

A run's guard holds everything until the run ends. A live feed's guard counts, in the database and inside the batch's own transaction,
how many patients it may still admit in its rolling hour, so that neither a restart nor a second process forgets. A batch that permits
nothing asks nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import local_dnc
from store.domain.assertions import Merged, SourceAssertions
from store.domain.contactability import may_permit_more, permitting_changes
from store.domain.effective import in_force
from store.domain.enterprise import Enterprise
from store.domain.ordering import stated
from store.holds.held_changes import HeldChange, HeldChanges, HeldChangeState
from store.holds.held_runs import HeldRuns
from store.preference import EMR, STAFF, Assertion, PatientStatements, base

Key = tuple[int, str, str]
ByAuthority = Mapping[str, SourceAssertions]


class BatchGuard(ABC):
    """Says which patients a batch may make more contactable now."""

    @abstractmethod
    def admits(self, patient: int) -> bool:
        """Whether this patient may be."""

    @abstractmethod
    def home(self) -> str:
        """The run that what is held back belongs to."""

    @abstractmethod
    def close(self, held: int) -> None:
        """The batch is written; ``held`` statements of it were newly held back."""

    def gate(self, database: Database, transaction: Connection, enterprise: Enterprise, authority: str, now: datetime) -> SourceGate:
        """The gate of one batch of one authority, as ``store.patients.gating`` wants it."""
        return SourceGate(database, transaction, enterprise, authority, self, now)


class HoldAll(BatchGuard):
    """A run: how many patients it makes more contactable is known at its end, so every such change waits until then."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def admits(self, patient: int) -> bool:
        return False

    def home(self) -> str:
        return self.run_id

    def close(self, held: int) -> None:
        """The run itself counts what it held."""


class SourceGate:
    """The safeguard of one batch of one source. ``load``, then ``sift`` each payload, then ``write``."""

    def __init__(
        self, database: Database, transaction: Connection, enterprise: Enterprise, authority: str, guard: BatchGuard, now: datetime
    ) -> None:
        self.database, self.transaction, self.enterprise = database, transaction, enterprise
        self.authority, self.guard, self.now = authority, guard, now
        self.kept: dict[Key, HeldChange] = {}
        self.put: dict[Key, HeldChange] = {}
        self.dropped: set[Key] = set()

    def load(self, patients: Iterable[int]) -> None:
        """What is kept already about the patients of the batch."""
        for row in HeldChanges(self.database).of_patients(self.transaction, self.authority, list(patients)):
            self.kept[row.patient_id, row.authority, row.attribute] = row

    def sift(self, patient: int, by_authority: ByAuthority, item: PatientStatements, merged: Merged, *, record: int) -> frozenset[str]:
        """The attributes of a payload that must not take effect. ``merged`` is what would stand if all of it did.

        What is held is kept for the record that it is about, which may be one with another: so that it goes with it.
        """
        permitting = self._permitting(by_authority, item, merged)
        held_before = any((record, self.authority, name) in self.kept for name in permitting)
        back = {} if not permitting or (not held_before and self.guard.admits(patient)) else permitting
        for name in stated(item):
            key = (record, self.authority, name)
            known = self.kept.get(key)
            if known is not None and known.newer_than(item.effective, item.version):
                continue
            if name in back:
                self._keep(key, item, back[name], known)
            elif known is not None:  # newer evidence: what was held is history
                del self.kept[key]
                self.put.pop(key, None)
                self.dropped.add(key)
        return frozenset(back)

    def write(self) -> None:
        """Writes what is held back now, and forgets what newer evidence replaced."""
        if self.put or self.dropped:
            held = HeldChanges(self.database)
            held.drop(self.transaction, sorted(self.dropped - self.put.keys()))
            held.put(self.transaction, list(self.put.values()))
        self.guard.close(len(self.put))
        if self.dropped:
            HeldRuns(self.database).close_empty(self.transaction, self.authority.removeprefix(EMR), now=self.now)

    def _keep(self, key: Key, item: PatientStatements, direction: str, known: HeldChange | None) -> None:
        again = known is not None and (known.again or known.state != HeldChangeState.HELD)
        said = item.statements[key[2]]
        source = self.authority.removeprefix(EMR)
        self.put[key] = self.kept[key] = HeldChange(
            *key, self.enterprise.name, source, self.guard.home(), HeldChangeState.HELD, again, direction, said.value, said.path,
            item.effective, item.version, item.evidence_id, self.now, item.mapping, item.codes.get(key[2]),
        )  # fmt: skip

    def _permitting(self, by_authority: ByAuthority, item: PatientStatements, merged: Merged) -> dict[str, str]:
        names = [name for name, (_, after) in merged.changed.items() if may_permit_more(name, after)]
        if STAFF in by_authority:
            names += local_dnc.may_yield_to(by_authority, item)  # also if the source only repeats its own
        if not names:
            return {}
        wanted = {base(name) for name in names}  # attributes do not act on each other: no other can matter
        said = {name: _only(wanted, held.assertions) for name, held in by_authority.items()}
        before = in_force(said, self.enterprise)
        after = said | {self.authority: _only(wanted, merged.assertions)}
        if STAFF in by_authority and local_dnc.lifts(by_authority, item):
            after[STAFF] = local_dnc.lifted(by_authority[STAFF]).assertions
        return permitting_changes(before, in_force(after, self.enterprise), names)


def _only(attributes: set[str], assertions: Mapping[str, Assertion]) -> Mapping[str, Assertion]:
    return {name: one for name, one in assertions.items() if base(name) in attributes}


Room = Callable[[int, int, bool], int]
"""(synced, made more contactable lately, whether anything awaits review) -> how many more patients may be
(``sync.safeguard_rule.room``)."""


class Window(BatchGuard):
    """One batch of a live feed. ``opened`` is the run that keeps what it holds back."""

    def __init__(
        self,
        held: HeldChanges,
        transaction: Connection,
        lane: tuple[str, str],
        room: Room,
        *,
        now: datetime,
        span: timedelta,
    ) -> None:
        self.held, self.transaction, self.room = held, transaction, room
        self.source, self.enterprise = lane
        self.now, self.since = now, now - span
        self.admitted: set[int] = set()
        self._lately: int | None = None
        self._waits = False
        self._left = 0
        self._exact = False
        self._home: str | None = None

    def admits(self, patient: int) -> bool:
        """Whether the hour has room. A patient that was counted in it already takes none."""
        if self._lately is None:
            self._lately, self._waits = self.held.lately(self.transaction, self.source, self.since)
            self._left = self.room(0, self._lately, self._waits)
        if self._waits:
            return False
        if patient in self.admitted or self.held.was_permitted(self.transaction, self.source, patient, self.since):
            return True
        if self._left < 1 and not self._exact:
            self._measure(self._lately + len(self.admitted))
        if self._left < 1:
            return False
        self._left -= 1
        self.admitted.add(patient)
        return True

    def home(self) -> str:
        """The feed's open run in the journal, which holds until a person decides."""
        if self._home is None:
            self._home = HeldRuns(self.held.database).live(self.transaction, self.source, self.enterprise, now=self.now)
        return self._home

    def close(self, held: int) -> None:
        """Counts the patients made more contactable, and the changes held."""
        if self.admitted:
            self.held.record_permitted(self.transaction, self.source, self.admitted, now=self.now, forget=self.since)
        if held:
            HeldRuns(self.held.database).count(self.transaction, self.home(), held, now=self.now)

    def _measure(self, lately: int) -> None:
        """The floor is enough for most batches: the patients of the source are counted only beyond it."""
        self._exact = True
        self._left = self.room(self.held.synced_lately(self.transaction, self.source, self.now), lately, self._waits)
