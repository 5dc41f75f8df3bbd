"""Patients whom an EMR reported as changed, until they are read again. Several reports about one patient are one read.

The numbers of a subscription's last events are kept beside them, in the same transaction, so that no event is counted and then lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables import SourceNoteRow
from store.db.tables_operations import PushedReadRow

EVERYTHING = ""
"""Instead of a patient: everything that changed since the last pull."""
MOST_WAITING = 1_000
"""Patients of a source that may wait. Beyond that a pull of everything that changed is cheaper."""
AT_ONCE = 20
LEASE = timedelta(minutes=5)
"""How long a read may take before another process does it too."""

KEYS = ("source", "patient")
COLUMNS = (*KEYS, "enterprise", "pushes", "attempts", "due")
WAITING = "SELECT patient, pushes, attempts FROM pushed_reads WHERE source = ?"
DUE = "SELECT source, patient, enterprise, pushes, attempts FROM pushed_reads WHERE due <= ? AND source IN ?? ORDER BY due LIMIT ?"
ONE = "SELECT pushes FROM pushed_reads WHERE source = ? AND patient = ?"
NOTE = "SELECT text FROM source_notes WHERE source = ? AND key = ?"
LOCK = "pushed reads"

After = Callable[[int], tuple[int, bool]]
"""The number of a subscription's last event -> its number after a notification, and whether events between were missed."""


class PushedRead(NamedTuple):
    """A read that is due. ``patient``: the EMR's resource id, or :data:`EVERYTHING`."""

    source: str
    patient: str
    enterprise: str
    pushes: int
    attempts: int


class PushedReads:
    """The reads that wait. Thread-safe, for any number of processes."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(
        self, source: str, enterprise: str, patients: Collection[str], due: datetime, subscription: str = "", after: After | None = None
    ) -> bool:
        """Adds reads. ``patients`` may hold :data:`EVERYTHING`. Returns whether events were missed; then everything is read."""
        with self.database.write(LOCK) as transaction:
            missed = after is not None and self._count(transaction, source, enterprise, subscription, after)
            self._add(transaction, source, enterprise, {*patients, EVERYTHING} if missed else set(patients), due)
        return missed

    def take(self, now: datetime, sources: Sequence[str]) -> list[PushedRead]:
        """The reads of these sources that are due, for this process alone until :data:`LEASE` has passed."""
        due = [self.database.bound(now), list(sources)]
        with self.database.read() as connection:
            if not sources or not self.database.select(connection, DUE, [*due, 1]):
                return []
        with self.database.write(LOCK) as transaction:
            found = [PushedRead(*row) for row in self.database.select(transaction, DUE, [*due, AT_ONCE])]
            self.database.update(transaction, PushedReadRow, KEYS, ("due",), [(now + LEASE, one.source, one.patient) for one in found])
        return found

    def done(self, read: PushedRead, due: datetime) -> None:
        """Removes a read. If the patient was reported again meanwhile, it is due once more at ``due``."""
        with self.database.write(LOCK) as transaction:
            rows = self.database.select(transaction, ONE, [read.source, read.patient])
            if rows and rows[0][0] == read.pushes:
                self.database.delete(transaction, PushedReadRow, KEYS, [(read.source, read.patient)])
            elif rows:
                columns = ("attempts", "due")
                self.database.update(transaction, PushedReadRow, KEYS, columns, [(0, due, read.source, read.patient)])

    def again(self, read: PushedRead, due: datetime) -> None:
        """Keeps a read that failed until ``due``."""
        with self.database.write(LOCK) as transaction:
            row = (read.attempts + 1, due, read.source, read.patient)
            self.database.update(transaction, PushedReadRow, KEYS, ("attempts", "due"), [row])

    def _count(self, transaction: Connection, source: str, enterprise: str, subscription: str, after: After) -> bool:
        """Keeps the number of the subscription's last event. Returns whether events were missed."""
        key = f"push:{blake2b(subscription.encode('utf-8', 'replace'), digest_size=12).hexdigest()}"
        rows = self.database.select(transaction, NOTE, [source, key])
        known = int(rows[0][0]) if rows else 0
        last, missed = after(known)
        if last != known:
            self.database.upsert(
                transaction, SourceNoteRow, ("source", "key", "enterprise", "text"), [(source, key, enterprise, str(last))]
            )
        return missed

    def _add(self, transaction: Connection, source: str, enterprise: str, patients: set[str], due: datetime) -> None:
        waiting = {patient: (pushes, attempts) for patient, pushes, attempts in self.database.select(transaction, WAITING, [source])}
        if len(waiting.keys() | patients) > MOST_WAITING:
            patients = {EVERYTHING}
        new = [(source, one, enterprise, 1, 0, due) for one in sorted(patients - waiting.keys())]
        self.database.insert(transaction, PushedReadRow, COLUMNS, new)
        more = [(waiting[one][0] + 1, source, one) for one in sorted(patients & waiting.keys())]
        self.database.update(transaction, PushedReadRow, KEYS, ("pushes",), more)
