"""The last findings about a source: whether its EMR can be reached and how it is read, and how far it agrees with the store.

``emr-sync check``, full reads and dry runs find them out; they are kept with their time so that the pages can show them.

Agreement counts records as the EMR sends them. A record that matches the store agrees. One with changes or a new patient differs. One
that is older than the source's previous statements does neither. One that could not be used was not compared. A source's first read is
left out, since there was nothing to compare with. So is a read that was interrupted or started over: it compares partly with itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from store.db.database import Database
from store.db.tables_operations import FindingRow
from store.domain import documents
from store.domain.documents import instant
from store.preference import RecordOutcome
from store.runs.runs import READ_AGAIN

CHECK, COMPARISON = "check", "comparison"
COLUMNS = ("source", "kind", "enterprise", "at", "document")


class Checked(NamedTuple):
    """One line of a check: what was checked, whether it is in order, and the consequence for the sync."""

    what: str
    ok: bool
    detail: str


class Check(NamedTuple):
    """A check of a source, and when it was done."""

    at: datetime
    lines: tuple[Checked, ...]


class Findings:
    """Keeps the newest finding of each kind. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def keep_check(self, source: str, enterprise: str, lines: tuple[Checked, ...], *, now: datetime) -> None:
        """Keeps a check instead of the previous one."""
        self._keep(source, enterprise, CHECK, lines, now)

    def keep_comparison(self, source: str, enterprise: str, counts: dict[str, int], *, now: datetime) -> None:
        """Keeps the result of a dry run: the number of records by outcome."""
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


FULL, DRY = "full", "dry"
AGREES, DIFFERS, OLDER, UNUSABLE = (
    (RecordOutcome.UNCHANGED,),
    (RecordOutcome.APPLIED, RecordOutcome.MERGED, RecordOutcome.HELD),
    (RecordOutcome.STALE,),
    (RecordOutcome.REJECTED,),
)
LAST_FULL_READ = """SELECT id, started, finished, counts FROM runs WHERE enterprise = ? AND source = ? AND kind = 'full'
 AND status IN ('done', 'held') AND coalesce(error, '') NOT LIKE ? ORDER BY started DESC LIMIT 1"""
EARLIER_READ = "SELECT 1 FROM runs WHERE enterprise = ? AND source = ? AND started < ? AND status IN ('done', 'held') LIMIT 1"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One comparison. ``way``: a full read, whose differences were applied, or a dry run, which changed nothing.

    ``more`` and ``less``: patients who would become more or less contactable, if a dry run counted them.
    """

    at: datetime
    way: str
    run: str | None
    agreed: int
    differed: int
    older: int
    unusable: int
    more: int = 0
    less: int = 0

    @property
    def compared(self) -> int:
        """Records that could be compared."""
        return self.agreed + self.differed + self.older

    @property
    def percent(self) -> float | None:
        """The percentage of compared records that agreed. Rounded down, so that 100 means all. ``None`` if none were compared."""
        return self.agreed * 1000 // self.compared / 10 if self.compared else None


def counted(at: datetime, way: str, run: str | None, counts: Mapping[str, int]) -> Agreement:
    """The comparison with these counts by outcome."""
    agreed, differed, older, unusable = (sum(counts.get(name, 0) for name in group) for group in (AGREES, DIFFERS, OLDER, UNUSABLE))
    more, less = counts.get("more_contactable", 0), counts.get("less_contactable", 0)
    return Agreement(at, way, run, agreed, differed, older, unusable, more, less)


def newest(database: Database, enterprise: str, source: str) -> Agreement | None:
    """The last comparison of a source, of either kind; ``None`` if nothing was ever compared."""
    dry = Findings(database).comparison(source, enterprise)
    found = [*([counted(dry[0], DRY, None, dry[1])] if dry else []), *_full_read(database, enterprise, source)]
    return max(found, key=lambda one: one.at, default=None)


def _full_read(database: Database, enterprise: str, source: str) -> list[Agreement]:
    with database.read() as connection:
        rows = database.select(connection, LAST_FULL_READ, [enterprise, source, f"%{READ_AGAIN}%"])
        if not rows or not database.select(connection, EARLIER_READ, [enterprise, source, rows[0][1]]):
            return []
    number, started, finished, counts = rows[0]
    return [counted(instant(finished or started), FULL, number, documents.read(counts))]
