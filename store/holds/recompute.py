"""Recomputes stored values after another configuration came into force, so that the change feed reports them to replicas.

Until then, each value is computed when it is read. Patients are processed in groups, one transaction each. After a crash, the next run
continues with the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from store.domain.enterprise import Enterprise
from store.patients.apply import Application
from store.patients.patient_batch import Author
from store.patients.preferences import Preferences
from store.preference import STAFF

CHUNK = 500
OUTDATED = "SELECT id FROM patients WHERE enterprise = ? AND merged_into IS NULL AND basis <> ? AND id > ? ORDER BY id LIMIT ?"
STILL_OUTDATED = "SELECT id FROM patients WHERE id IN ?? AND basis <> ? AND merged_into IS NULL"


def never_stopped() -> bool:
    """For a caller that lets it run to the end."""
    return False


class Recomputation:
    """One per process. Searches an enterprise only when its configuration in force has changed. ``stopped`` ends it early."""

    def __init__(self, store: Preferences, *, chunk: int = CHUNK, stopped: Callable[[], bool] = never_stopped) -> None:
        self.store, self.database, self.chunk, self.stopped = store, store.database, chunk, stopped
        self._done: dict[str, str] = {}

    def run(self, name: str, now: datetime) -> int:
        """Recomputes the outdated patients of an enterprise. Returns their number."""
        enterprise, done, last = self.store.enterprises[name], 0, 0
        if self._done.get(name) == enterprise.basis:
            return 0
        while not self.stopped():
            page = self._page(enterprise, last)  # read without the lock: usually there is nothing to write
            if not page:
                self._done[name] = enterprise.basis
                break
            with self.database.write(name) as transaction:
                outdated = [row[0] for row in self.database.select(transaction, STILL_OUTDATED, [page, enterprise.basis])]
                self._write(transaction, enterprise, outdated, now)
            done, last = done + len(outdated), page[-1]
        return done

    def _page(self, enterprise: Enterprise, last: int) -> list[int]:
        with self.database.read() as connection:
            rows = self.database.select(connection, OUTDATED, [enterprise.name, enterprise.basis, last, self.chunk])
        return [row[0] for row in rows]

    def _write(self, transaction: Connection, enterprise: Enterprise, page: list[int], now: datetime) -> None:
        work = Application(self.database, transaction, enterprise, Author(STAFF, now), self.store.ids)
        for patient in work.resume(page).values():
            work.changes.append(work.line(patient, {}, "", now))
            patient.recorded = True
        work.finish()
