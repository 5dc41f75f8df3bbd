"""When each source is to be read next, so that restarts forget nothing and any number of schedulers ask once."""

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
    """``schedule`` as it was configured when ``due`` was reckoned; ``asked``: when it was asked for last."""

    schedule: str
    due: datetime
    asked: datetime | None = None


class ScheduleTimes:
    """Reads and writes them. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self) -> dict[Key, Due]:
        """All of them."""
        with self.database.read() as connection:
            return self._read(connection)

    @contextmanager
    def turn(self) -> Iterator[tuple[Connection, dict[Key, Due]]]:
        """The transaction of the one scheduler whose turn it is, and what is known in it."""
        with self.database.write(SCHEDULERS) as transaction:
            yield transaction, self._read(transaction)

    def keep(self, transaction: Connection, times: Mapping[Key, Due]) -> None:
        """In a :meth:`turn`: what is known from now on."""
        rows = [(*key, one.schedule, one.due, one.asked) for key, one in times.items()]
        self.database.upsert(transaction, ScheduleTimeRow, COLUMNS, rows)

    def _read(self, connection: Connection) -> dict[Key, Due]:
        rows = self.database.select(connection, "SELECT source, kind, schedule, due, asked FROM schedule_times", [])
        return {(source, kind): Due(text, instant(due), instant(asked) if asked else None) for source, kind, text, due, asked in rows}
