"""Statistics of a source: records per hour (received, with changes, rejected).

Records are counted in the transaction that applies them, so a crash neither loses counts nor counts twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_operations import ArrivalRow
from store.domain.documents import instant
from store.preference import RecordOutcome

HOUR = timedelta(hours=1)
KEPT = timedelta(days=35)
NEWS = (RecordOutcome.APPLIED, RecordOutcome.MERGED, RecordOutcome.HELD)
ADD = """INSERT INTO arrivals (source, hour, enterprise, records, news, rejected) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (source, hour) DO UPDATE SET records = arrivals.records + excluded.records, news = arrivals.news + excluded.news,
 rejected = arrivals.rejected + excluded.rejected RETURNING records"""
EXPIRED = "SELECT source, hour FROM arrivals WHERE source = ? AND hour < ?"
SINCE = "SELECT hour, records, news, rejected FROM arrivals WHERE enterprise = ? AND source = ? AND hour >= ? ORDER BY hour"


class Hour(NamedTuple):
    """One hour of a source. ``news``: records with changes. ``records`` includes the rejected ones."""

    start: datetime
    records: int = 0
    news: int = 0
    rejected: int = 0


class Arrivals:
    """Counts a source's records by the hour. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def count(self, transaction: Connection, source: str, enterprise: str, outcomes: Mapping[str, int], *, now: datetime) -> None:
        """Adds records by outcome to the hour of ``now``. The first call of an hour erases expired hours."""
        records = sum(outcomes.values())
        if not records:
            return
        news, hour = sum(outcomes.get(outcome, 0) for outcome in NEWS), self.database.bound(_hour(now))
        row = [source, hour, enterprise, records, news, outcomes.get(RecordOutcome.REJECTED, 0)]
        if int(self.database.select(transaction, ADD, row)[0][0]) == records:
            expired = self.database.select(transaction, EXPIRED, [source, self.database.bound(now - KEPT)])
            self.database.delete(transaction, ArrivalRow, ("source", "hour"), [(name, instant(start)) for name, start in expired])

    def hours(self, enterprise: str, source: str, *, now: datetime, count: int) -> list[Hour]:
        """The last ``count`` hours, the oldest first, with zeros for empty hours. The last one is the current hour."""
        first = _hour(now) - (count - 1) * HOUR
        with self.database.read() as connection:
            rows = self.database.select(connection, SINCE, [enterprise, source, self.database.bound(first)])
        found = {instant(row[0]): Hour(instant(row[0]), *row[1:]) for row in rows}
        return [found.get(start, Hour(start)) for start in (first + place * HOUR for place in range(count))]


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
