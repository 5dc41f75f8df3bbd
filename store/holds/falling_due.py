"""Applies statements that have become due, so that the change feed reports them without a new message.

They take the same path as a payload: newer evidence wins, and the safeguard holds what would make too many patients more contactable.
Patients are processed in groups, one transaction each. After a crash, the next run continues with the rest.
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
GuardFactory = Callable[[Any, str, str, datetime], Guard | None]
"""(transaction, enterprise, source, now) -> the guard of one group."""


def never_stopped() -> bool:
    """For a caller that lets it run to the end."""
    return False


class DueChanges:
    """One per process. ``guard`` makes the safeguard's guard for a group; ``stopped`` ends it early."""

    def __init__(
        self, store: Preferences, guard: GuardFactory | None = None, *, chunk: int = CHUNK, stopped: Callable[[], bool] = never_stopped
    ) -> None:
        self.store, self.database, self.guard, self.chunk, self.stopped = store, store.database, guard, chunk, stopped

    def run(self, name: str, now: datetime) -> int:
        """Applies all that is due in an enterprise. Returns the number of patients it was due for."""
        with self.database.read() as connection:
            authorities = sources_due(self.database, connection, name, now)
        return sum(self._apply_of_source(name, authority, now) for authority in authorities)

    def _apply_of_source(self, name: str, authority: str, now: datetime) -> int:
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
        work.write_held()
