"""When each source is due to be read next. Survives restarts, and any number of schedulers request each run once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_operations import ScheduleTimeRow
from store.domain.documents import instant

SCHEDULERS = "schedulers"
COLUMNS = ("source", "kind", "schedule", "due", "asked")
Key = tuple[str, str]
"""A source, and the kind of run."""


@dataclass(frozen=True, slots=True)
class Due:
    """A source's next time. ``schedule`` is the one that ``due`` was computed from; ``asked``: when a run was last requested."""

    schedule: str
    due: datetime
    asked: datetime | None = None


class ScheduleTimes:
    """Reads and writes the times. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self) -> dict[Key, Due]:
        """All times."""
        with self.database.read() as connection:
            return self._read(connection)

    @contextmanager
    def turn(self) -> Iterator[tuple[Connection, dict[Key, Due]]]:
        """A transaction that only one scheduler has at a time, and the times in it."""
        with self.database.write(SCHEDULERS) as transaction:
            yield transaction, self._read(transaction)

    def keep(self, transaction: Connection, times: Mapping[Key, Due]) -> None:
        """Writes times, in a :meth:`turn`."""
        rows = [(*key, one.schedule, one.due, one.asked) for key, one in times.items()]
        self.database.upsert(transaction, ScheduleTimeRow, COLUMNS, rows)

    def _read(self, connection: Connection) -> dict[Key, Due]:
        rows = self.database.select(connection, "SELECT source, kind, schedule, due, asked FROM schedule_times", [])
        return {(source, kind): Due(text, instant(due), instant(asked) if asked else None) for source, kind, text, due, asked in rows}
