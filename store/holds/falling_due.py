"""Applies what is due, so that the feed of changes tells of it without a new message.

Through the same way as a payload: newer evidence wins, the safeguard holds what would make too many patients more contactable. Some
patients at a time, each group in a transaction: one that dies in between goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from store.patients.gating import Guard
from store.patients.patient_batch import Author
from store.patients.period_rows import patients_due, sources_due
from store.patients.preferences import Preferences
from store.preference import EMR

CHUNK = 500
MakesGuard = Callable[[Any, str, str, datetime], Guard | None]
"""(transaction, enterprise, source, now) -> the safeguard of one group."""


def never() -> bool:
    """For somebody who waits until it is done."""
    return False


class FallingDue:
    """One per process. ``guard`` makes the safeguard of a group; ``stopped`` ends it early."""

    def __init__(
        self, store: Preferences, guard: MakesGuard | None = None, *, chunk: int = CHUNK, stopped: Callable[[], bool] = never
    ) -> None:
        self.store, self.database, self.guard, self.chunk, self.stopped = store, store.database, guard, chunk, stopped

    def run(self, name: str, now: datetime) -> int:
        """How many patients of an enterprise had something due."""
        with self.database.read() as connection:
            authorities = sources_due(self.database, connection, name, now)
        return sum(self._of(name, authority, now) for authority in authorities)

    def _of(self, name: str, authority: str, now: datetime) -> int:
        done, last = 0, 0
        while not self.stopped():
            with self.database.read() as connection:
                page = patients_due(self.database, connection, name, authority, now, last, self.chunk)
            if not page:
                break
            with self.database.write(name) as transaction:
                self._apply(transaction, name, authority, page, now)
            done, last = done + len(page), page[-1]
        return done

    def _apply(self, transaction: Any, name: str, authority: str, page: list[int], now: datetime) -> None:
        guard = self.guard(transaction, name, authority.removeprefix(EMR), now) if self.guard is not None else None
        work = self.store.application(transaction, name, Author(authority, now), guard)
        for patient in list(work.resume(page).values()):
            work.fall_due(patient)
        work.finish()
        if work.gate is not None:
            work.gate.write()
