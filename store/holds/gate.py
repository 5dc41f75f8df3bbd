"""The safeguard inside a batch: it holds changes that would make patients more contactable, before the batch is written.

Changes that stop contact are applied at once. A change that permits more contact is applied if the guard admits its patient. Otherwise it
is held, and the rest of its payload is applied without it.

A run's guard holds all such changes until the run ends. A live feed's guard counts how many patients it may still admit in its rolling
hour. It counts in the database, inside the batch's own transaction, so the count survives a restart and a second process. A batch that
permits nothing more does not query it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.domain.ordering import stated
from store.holds.held_changes import HeldChange, HeldChanges, HeldChangeState
from store.holds.held_runs import HeldRuns
from store.preference import EMR, PatientStatements

Key = tuple[int, str, str]


class BatchGuard(ABC):
    """Decides which patients a batch may make more contactable now."""

    @abstractmethod
    def expect(self, patients: Iterable[int]) -> None:
        """Told which patients the batch opened, so that what is to be known of them is read at once."""

    @abstractmethod
    def admits(self, patient: int) -> bool:
        """Whether this patient may become more contactable now."""

    @abstractmethod
    def run_of_held(self) -> str:
        """The id of the run that held changes belong to."""

    @abstractmethod
    def close(self, held: int) -> None:
        """Called when the batch is written. ``held``: how many statements of it were newly held."""

    def gate(self, database: Database, transaction: Connection, enterprise: Enterprise, authority: str, now: datetime) -> SourceGate:
        """The gate of one batch of one authority (``store.patients.gating.Guard``)."""
        return SourceGate(database, transaction, enterprise, authority, self, now)


class HoldAll(BatchGuard):
    """The guard of a run: it holds every change that permits more contact. The number of patients is known only when the run ends."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def expect(self, patients: Iterable[int]) -> None:
        """Does nothing: a run admits nobody."""

    def admits(self, patient: int) -> bool:
        return False

    def run_of_held(self) -> str:
        return self.run_id

    def close(self, held: int) -> None:
        """Does nothing: the run itself counts what it held."""


class SourceGate:
    """The safeguard of one batch of one source. ``load``, then ``sift`` each payload, then ``write``."""

    def __init__(
        self, database: Database, transaction: Connection, enterprise: Enterprise, authority: str, guard: BatchGuard, now: datetime
    ) -> None:
        self.database, self.transaction, self.enterprise = database, transaction, enterprise
        self.authority, self.guard, self.now = authority, guard, now
        self.known: dict[Key, HeldChange] = {}
        self.to_write: dict[Key, HeldChange] = {}
        self.replaced: set[Key] = set()

    def expect(self, patients: Iterable[int]) -> None:
        """Tells the guard which patients the batch opened."""
        self.guard.expect(patients)

    def load(self, patients: Iterable[int]) -> None:
        """Reads what is already held for the patients of the batch."""
        for row in HeldChanges(self.database).of_patients(self.transaction, self.authority, list(patients)):
            self.known[row.patient_id, row.authority, row.attribute] = row

    def sift(self, patient: int, item: PatientStatements, permitting: Mapping[str, str], *, record: int) -> frozenset[str]:
        """The attributes of a payload that must not take effect. ``permitting``: those that would permit more, and in which direction.

        A change is held for the record that it is about, which may be merged with another. So an unmerge takes it along.
        """
        held_before = any((record, self.authority, name) in self.known for name in permitting)
        to_hold = {} if not permitting or (not held_before and self.guard.admits(patient)) else permitting
        if not to_hold and not self.known:
            return frozenset()
        for name in stated(item):
            key = (record, self.authority, name)
            known = self.known.get(key)
            if known is not None and known.newer_than(item.effective, item.version):
                continue
            if name in to_hold:
                self._keep(key, item, to_hold[name], known)
            elif known is not None:  # newer evidence replaces what was held
                del self.known[key]
                self.to_write.pop(key, None)
                self.replaced.add(key)
        return frozenset(to_hold)

    def write(self) -> None:
        """Writes the newly held changes, and deletes those that newer evidence replaced."""
        if self.to_write or self.replaced:
            held = HeldChanges(self.database)
            held.drop(self.transaction, sorted(self.replaced - self.to_write.keys()))
            held.put(self.transaction, list(self.to_write.values()))
        self.guard.close(len(self.to_write))
        if self.replaced:
            HeldRuns(self.database).close_empty(self.transaction, self.authority.removeprefix(EMR), now=self.now)

    def _keep(self, key: Key, item: PatientStatements, direction: str, known: HeldChange | None) -> None:
        again = known is not None and (known.again or known.state != HeldChangeState.HELD)
        statement = item.statements[key[2]]
        source = self.authority.removeprefix(EMR)
        self.to_write[key] = self.known[key] = HeldChange(
            *key, self.enterprise.name, source, self.guard.run_of_held(), HeldChangeState.HELD, again, direction, statement.value,
            statement.path, item.effective, item.version, item.evidence_id, self.now, item.mapping, item.codes.get(key[2]),
        )  # fmt: skip


Room = Callable[[int, int, bool], int]
"""(synced, recently made more contactable, whether anything awaits review) -> how many more patients may become more contactable
(``sync.safeguard.room``)."""


class LiveFeedGuard(BatchGuard):
    """The guard of one batch of a live feed. ``span``: the length of the rolling window."""

    def __init__(
        self,
        held: HeldChanges,
        transaction: Connection,
        feed: tuple[str, str],
        room: Room,
        *,
        now: datetime,
        span: timedelta,
    ) -> None:
        self.held, self.transaction, self.room = held, transaction, room
        self.source, self.enterprise = feed
        self.now, self.since = now, now - span
        self.admitted: set[int] = set()
        self._expected: set[int] = set()
        self._looked_up: set[int] = set()
        self._permitted: set[int] = set()
        self._permitted_recently: int | None = None
        self._review_pending = False
        self._room_left = 0
        self._is_measured = False
        self._held_run: str | None = None

    def expect(self, patients: Iterable[int]) -> None:
        self._expected.update(patients)

    def admits(self, patient: int) -> bool:
        """Whether the window has room. A patient already counted in it takes none."""
        if self._permitted_recently is None:
            self._permitted_recently, self._review_pending = self.held.permitted_since(self.transaction, self.source, self.since)
            self._room_left = self.room(0, self._permitted_recently, self._review_pending)
        if self._review_pending:
            return False
        if patient in self.admitted or self._was_permitted(patient):
            return True
        if self._room_left < 1 and not self._is_measured:
            self._measure(self._permitted_recently + len(self.admitted))
        if self._room_left < 1:
            return False
        self._room_left -= 1
        self.admitted.add(patient)
        return True

    def _was_permitted(self, patient: int) -> bool:
        """Whether the window counts the patient already. The first question is asked for all patients that the batch opened so far."""
        if patient not in self._looked_up:
            asked = self._expected - self._looked_up | {patient}
            self._permitted |= self.held.permitted_among(self.transaction, self.source, asked, self.since)
            self._looked_up |= asked
        return patient in self._permitted

    def run_of_held(self) -> str:
        """The feed's open run in the journal, which holds changes until a person decides."""
        if self._held_run is None:
            self._held_run = HeldRuns(self.held.database).live_run(self.transaction, self.source, self.enterprise, now=self.now)
        return self._held_run

    def close(self, held: int) -> None:
        """Records the patients made more contactable, and counts the changes held."""
        if self.admitted:
            self.held.record_permitted(self.transaction, self.source, self.admitted, now=self.now, forget=self.since)
        if held:
            HeldRuns(self.held.database).count(self.transaction, self.run_of_held(), held, now=self.now)

    def _measure(self, permitted: int) -> None:
        """Computes the room from the number of synced patients. Most batches stay within the floor and never need this count."""
        self._is_measured = True
        self._room_left = self.room(self.held.synced_recently(self.transaction, self.source, self.now), permitted, self._review_pending)
