"""The guard of a live feed: how many patients it may still make more contactable in its rolling hour.

Counted in the database and inside the batch's own transaction, so that neither a restart nor a second process forgets. A batch that
loosens nothing asks nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from store.brake.gate import BatchGuard
from store.brake.held import HeldStatements
from store.brake.held_runs import HeldRuns

Room = Callable[[int, int, bool], int]
"""(synced, loosened lately, whether anything waits for a decision) -> how many further patients may be loosened (``sync.brake.room``)."""


class Window(BatchGuard):
    """One batch of a live feed. ``opened`` is the run that keeps what it holds back."""

    def __init__(
        self,
        held: HeldStatements,
        transaction: Connection,
        lane: tuple[str, str],
        room: Room,
        *,
        now: datetime,
        span: timedelta,
    ) -> None:
        self.held, self.runs, self.transaction, self.room = held, HeldRuns(held.database), transaction, room
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
        if patient in self.admitted or self.held.was_loosened(self.transaction, self.source, patient, self.since):
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
            self._home = self.runs.live(self.transaction, self.source, self.enterprise, now=self.now)
        return self._home

    def close(self, held: int) -> None:
        """Counts who was loosened, and what is held."""
        if self.admitted:
            self.held.loosen(self.transaction, self.source, self.admitted, now=self.now, forget=self.since)
        if held:
            self.runs.count(self.transaction, self.home(), held, now=self.now)

    def _measure(self, lately: int) -> None:
        """The floor is enough for most batches: the patients of the source are counted only beyond it."""
        self._exact = True
        self._left = self.room(self.held.synced_lately(self.transaction, self.source, self.now), lately, self._waits)
