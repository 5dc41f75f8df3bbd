"""What was found out about a source last: whether its EMR can be reached and how it is read, and how far it agrees with the store.

Told by ``emr-sync check`` and by comparisons that change nothing; kept so that the console can show it, with when that was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from store import documents
from store.database import Database
from store.moment import instant
from store.sources.source_tables import FindingRow

CHECK, COMPARISON = "check", "comparison"
COLUMNS = ("source", "kind", "enterprise", "at", "document")


class Checked(NamedTuple):
    """One line of a check: what was tried, whether it is well, and what follows for the sync."""

    what: str
    ok: bool
    detail: str


class Check(NamedTuple):
    """A check of a source, and when it was made."""

    at: datetime
    lines: tuple[Checked, ...]


class Findings:
    """Keeps the newest of each kind. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def keep_check(self, source: str, enterprise: str, lines: tuple[Checked, ...], *, now: datetime) -> None:
        """Remembers a check, in the place of the one before."""
        self._keep(source, enterprise, CHECK, lines, now)

    def keep_comparison(self, source: str, enterprise: str, counts: dict[str, int], *, now: datetime) -> None:
        """Remembers how the EMR's records compared, by outcome (``store.sources.agreement``)."""
        self._keep(source, enterprise, COMPARISON, counts, now)

    def check(self, source: str, enterprise: str) -> Check | None:
        """The last check."""
        found = self._read(source, enterprise, CHECK)
        return None if found is None else Check(found[0], tuple(Checked(*line) for line in found[1]))

    def comparison(self, source: str, enterprise: str) -> tuple[datetime, dict[str, int]] | None:
        """When the last comparison was made, and its counts."""
        return self._read(source, enterprise, COMPARISON)

    def _keep(self, source: str, enterprise: str, kind: str, document: Any, now: datetime) -> None:
        with self.database.write(enterprise) as transaction:
            self.database.upsert(transaction, FindingRow, COLUMNS, [(source, kind, enterprise, now, documents.write(document))])

    def _read(self, source: str, enterprise: str, kind: str) -> tuple[datetime, Any] | None:
        sql = "SELECT at, document FROM source_findings WHERE source = ? AND kind = ? AND enterprise = ?"
        with self.database.read() as connection:
            rows = self.database.select(connection, sql, [source, kind, enterprise])
        return (instant(rows[0][0]), documents.read(rows[0][1])) if rows else None
