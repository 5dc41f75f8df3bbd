"""Patients whom an EMR reported as changed, until they are read again. Several reports about one patient are one read.

The numbers of a subscription's last events are kept beside them, in the same transaction, so that no event is counted and then lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec import Struct
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
COUNT_WAITING = "SELECT count(*) FROM pushed_reads WHERE source = ?"
LOCK = "pushed reads"
RECORD = "push"
"""The key of the note with the :class:`PushRecord`."""

After = Callable[[int], tuple[int, bool]]
"""The number of a subscription's last event -> its number after a notification, and whether events between were missed."""


class PushedRead(NamedTuple):
    """A read that is due. ``patient``: the EMR's resource id, or :data:`EVERYTHING`."""

    source: str
    patient: str
    enterprise: str
    pushes: int
    attempts: int


class PushRecord(Struct, frozen=True, omit_defaults=True):
    """What push did so far, for people. ``last``: the last notification that was signed, ``event`` the last that reported a change.

    ``gaps`` in the numbers of events, and changes ``missed`` until a pull found them; the last of them at ``missed_at``.
    """

    last: datetime | None = None
    event: datetime | None = None
    gaps: int = 0
    missed: int = 0
    missed_at: datetime | None = None

    def notified(self, now: datetime, *, event: bool, gap: bool) -> PushRecord:
        """After one more notification."""
        changes = {"event": now} if event else {}
        return msgspec.structs.replace(self, last=now, gaps=self.gaps + gap, **changes)

    def pulled(self, now: datetime, missed: int) -> PushRecord:
        """After a pull that found changes."""
        return msgspec.structs.replace(self, missed=self.missed + missed, missed_at=now)


class PushedReads:
    """The reads that wait. Thread-safe, for any number of processes."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(
        self,
        source: str,
        enterprise: str,
        patients: Collection[str],
        due: datetime,
        subscription: str = "",
        after: After | None = None,
        *,
        now: datetime,
    ) -> bool:
        """Adds reads. ``patients`` may hold :data:`EVERYTHING`. Returns whether events were missed; then everything is read.

        ``now``: when they were reported, for the record of the source.
        """
        with self.database.write(LOCK) as transaction:
            missed = after is not None and self._count(transaction, source, enterprise, subscription, after)
            if patients or missed:
                self._add(transaction, source, enterprise, {*patients, EVERYTHING} if missed else set(patients), due)
            self._change(transaction, source, enterprise, lambda record: record.notified(now, event=bool(patients), gap=missed))
        return missed

    def note_missed(self, source: str, enterprise: str, changes: int, now: datetime) -> None:
        """Notes changes that a pull found and that nobody had reported."""
        with self.database.write(LOCK) as transaction:
            self._change(transaction, source, enterprise, lambda record: record.pulled(now, changes))

    def record(self, source: str) -> tuple[PushRecord, int]:
        """What push did so far, and how many reads wait."""
        with self.database.read() as connection:
            waiting = self.database.select(connection, COUNT_WAITING, [source])[0][0]
            return self._record(connection, source), waiting

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
            self._keep(transaction, source, enterprise, key, str(last))
        return missed

    def _record(self, connection: Connection, source: str) -> PushRecord:
        rows = self.database.select(connection, NOTE, [source, RECORD])
        return msgspec.json.decode(rows[0][0], type=PushRecord) if rows else PushRecord()

    def _change(self, transaction: Connection, source: str, enterprise: str, how: Callable[[PushRecord], PushRecord]) -> None:
        text = msgspec.json.encode(how(self._record(transaction, source))).decode()
        self._keep(transaction, source, enterprise, RECORD, text)

    def _keep(self, transaction: Connection, source: str, enterprise: str, key: str, text: str) -> None:
        self.database.upsert(transaction, SourceNoteRow, ("source", "key", "enterprise", "text"), [(source, key, enterprise, text)])

    def _add(self, transaction: Connection, source: str, enterprise: str, patients: set[str], due: datetime) -> None:
        waiting = {patient: (pushes, attempts) for patient, pushes, attempts in self.database.select(transaction, WAITING, [source])}
        if len(waiting.keys() | patients) > MOST_WAITING:
            patients = {EVERYTHING}
        new = [(source, one, enterprise, 1, 0, due) for one in sorted(patients - waiting.keys())]
        self.database.insert(transaction, PushedReadRow, COLUMNS, new)
        more = [(waiting[one][0] + 1, source, one) for one in sorted(patients & waiting.keys())]
        self.database.update(transaction, PushedReadRow, KEYS, ("pushes",), more)
