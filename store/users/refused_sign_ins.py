"""Refused sign-ins with unknown names. They are counted and summed up in the audit log, so that strangers cannot fill the disk.

The first one is written at once. Later ones are counted and written after a quarter of an hour, and when the service stops.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta

from store.audit.audit_log import REFUSED_SIGN_IN
from store.db.database import Database
from store.users.users import STRANGER, WRITER, UserLog

EVERY = timedelta(minutes=15)


class Refusals:
    """Counts refused sign-ins and writes them to the log of every enterprise of the service. Thread-safe."""

    def __init__(self, database: Database, enterprises: Collection[str]) -> None:
        self.database, self.enterprises, self.log = database, enterprises, UserLog(database)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._since: datetime | None = None
        self._written: datetime | None = None
        self._lock = threading.Lock()

    def count(self, why: str, way: str, now: datetime) -> None:
        """Counts one. ``why`` and ``way`` are our own codes, never what somebody typed."""
        with self._lock:
            self._counts[why, way] += 1
            self._since = self._since or now
        self.write_due(now)

    def write_due(self, now: datetime) -> None:
        """Writes the counts, unless the last entry is younger than :data:`EVERY`."""
        if self._written is None or not timedelta(0) <= now - self._written < EVERY:
            self.write(now)

    def write(self, now: datetime) -> None:
        """Writes the counts. If that fails, they are kept."""
        with self._lock:
            counts, since, before = self._counts, self._since, self._written
            self._counts, self._since = Counter(), None
            self._written = now if counts else before
        try:
            self._write(counts, since or now, now)
        except Exception:
            with self._lock:
                self._counts.update(counts)
                self._since, self._written = since, before
            raise

    def _write(self, counts: Counter[tuple[str, str]], since: datetime, now: datetime) -> None:
        if not counts:
            return
        with self.database.write(WRITER) as transaction:
            for (why, way), count in sorted(counts.items()):
                detail = {"why": why, "way": way, "count": count, "since": since.isoformat()}
                self.log.note(transaction, self.enterprises, REFUSED_SIGN_IN, "", actor=STRANGER, now=now, **detail)
