"""Statements that the safeguard holds, with their evidence: authority, effective time and run.

There is one per patient, authority and attribute: newer evidence replaces older. A rejected one is kept, so that the same content is held
again when it comes again, and never applied silently. A newer refusal from the EMR replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_operations import HeldStatementRow, LoosenedRow, VerdictRow
from store.domain import documents
from store.domain.documents import instant, interval
from store.domain.ids import shown
from store.holds.impact import Example, Impact
from store.preference import Codes, Statement, base, emr
from store.times import Time

COUNT_INTERVAL = timedelta(minutes=1)
COLUMNS = (
    "patient_id", "authority", "attribute", "enterprise", "source", "run_id", "state", "again", "direction", "value", "path",
    "effective", "version", "evidence_id", "at", "mapping", "codes", "effective_latest",
)  # fmt: skip
KEY = COLUMNS[:3]
VERDICT_COLUMNS = ("enterprise", "source", "run_id", "verdict", "actor", "at", "patients")
ROWS = f"SELECT {', '.join(COLUMNS)} FROM held_statements"
PREVIEW = """SELECT attribute, direction, count(*) FROM (
 SELECT DISTINCT attribute, direction, patient_id FROM held_statements WHERE run_id = ? AND state = 'held'
 ) AS loosened GROUP BY attribute, direction ORDER BY attribute, direction"""
PEOPLE = "SELECT count(*) FROM (SELECT DISTINCT patient_id FROM held_statements WHERE run_id = ? AND state = 'held'{}) AS people"
UNDECIDED = """SELECT count(*) FROM (
 SELECT DISTINCT patient_id FROM held_statements WHERE source = ? AND state = 'held' AND run_id <> ?) AS people"""
# A list of distinct rows, counted: PostgreSQL would sort for a count of distinct ones, which takes three times as long.
PERMITTED_SINCE = """SELECT (SELECT count(*) FROM loosened WHERE source = ? AND at > ?),
 EXISTS (SELECT 1 FROM held_statements WHERE source = ? AND state = 'held')"""

LEFT_BEHIND = """WHERE source = ? AND state = 'held' AND run_id <> ?
 AND run_id IN (SELECT r.id FROM runs r WHERE r.source = held_statements.source AND r.status IN ('failed', 'waiting'))"""


class HeldChangeState(StrEnum):
    """The states of a held change. A rejected one is kept, so that the same content is held again when it comes again."""

    HELD = "held"
    REJECTED = "rejected"


class Verdict(StrEnum):
    """The outcome of a held set."""

    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Rejected because nobody decided in time."""
    RELEASED = "released"
    """Applied without a review: within the limit."""


class HeldChange(NamedTuple):
    """One statement that is held. ``again``: a person rejected the same before. ``direction``: see ``store.domain.contactability``.

    ``mapping``: the mapping that read it, from ``codes`` where those are kept.
    """

    patient_id: int
    authority: str
    attribute: str
    enterprise: str
    source: str
    run_id: str
    state: str
    again: bool
    direction: str
    value: Any
    path: str
    effective: Time
    version: int
    evidence_id: str
    at: datetime
    mapping: str = ""
    codes: Codes | None = None

    @property
    def statement(self) -> Statement:
        """The value and where it was read."""
        return Statement(self.value, self.path)

    def newer_than(self, effective: Time, version: int) -> bool:
        """Whether its evidence is newer than a payload with this time and version."""
        return self.effective.is_after(effective) or (not self.effective.is_before(effective) and self.version > version)


class ReviewDecision(NamedTuple):
    """A decision about a held set, and who made it."""

    verdict: str
    actor: str
    at: datetime
    patients: int


class HeldChanges:
    """Reads and writes held statements inside transactions that the caller opened."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._synced: dict[str, tuple[datetime, int]] = {}
        self._cleaned: dict[str, datetime] = {}

    def of_patients(self, transaction: Connection, authority: str, patients: list[int]) -> list[HeldChange]:
        """All that is kept of one authority's statements about these patients, held or rejected."""
        return self._rows(transaction, "WHERE authority = ? AND patient_id IN ??", [authority, patients])

    def of_run(self, connection: Connection, run_id: str, patients: int, *, after: int = 0, fresh_only: bool = False) -> list[HeldChange]:
        """The undecided statements of a run about the next ``patients`` patients after the id ``after``, in order of patients."""
        where = f"run_id = ? AND state = 'held' AND patient_id > ?{' AND again = 0' if fresh_only else ''}"
        sql = f"SELECT DISTINCT patient_id FROM held_statements WHERE {where} ORDER BY patient_id LIMIT {patients:d}"
        numbers = [row[0] for row in self.database.select(connection, sql, [run_id, after])]
        return self._rows(
            connection, f"WHERE {where} AND patient_id IN ?? ORDER BY patient_id, effective, version", [run_id, after, numbers]
        )

    def put(self, transaction: Connection, rows: Sequence[HeldChange]) -> None:
        """Writes statements, replacing older ones of the same attribute."""
        self.database.upsert(transaction, HeldStatementRow, COLUMNS, [_stored(row) for row in rows])

    def drop(self, transaction: Connection, keys: Iterable[tuple[Any, ...]]) -> None:
        """Deletes statements that were applied or replaced by newer evidence."""
        self.database.delete(transaction, HeldStatementRow, KEY, list(keys))

    def mark_rejected(self, transaction: Connection, run_id: str) -> None:
        """Marks the undecided statements of a run as rejected."""
        self.database.update(transaction, HeldStatementRow, ("run_id",), ("state",), [(HeldChangeState.REJECTED, run_id)])

    def patients(self, connection: Connection, run_id: str, *, fresh_only: bool = False) -> int:
        """How many patients a run has undecided statements about. ``fresh_only`` leaves out what was rejected before."""
        sql = PEOPLE.format(" AND again = 0" if fresh_only else "")
        return int(self.database.select(connection, sql, [run_id])[0][0])

    def patients_awaiting_review(self, connection: Connection, source: str, *, excluding: str = "") -> int:
        """How many patients of a source have changes awaiting review, in runs other than ``excluding``."""
        return int(self.database.select(connection, UNDECIDED, [source, excluding])[0][0])

    def undecided_runs(self, connection: Connection, source: str) -> list[str]:
        """Runs of a source that have undecided statements."""
        sql = "SELECT DISTINCT run_id FROM held_statements WHERE source = ? AND state = 'held'"
        return [str(row[0]) for row in self.database.select(connection, sql, [source])]

    def adopt(self, transaction: Connection, source: str, run_id: str) -> None:
        """Moves to this run what earlier runs of its source held but did not finish."""
        rows = self._rows(transaction, LEFT_BEHIND, [source, run_id])
        self.put(transaction, [row._replace(run_id=run_id) for row in rows])

    def impact(self, connection: Connection, run_id: str, sample: int) -> Impact:
        """The impact of approving a run. Phone numbers in attribute names are left out."""
        found = Impact(self.patients(connection, run_id))
        for attribute, direction, patients in self.database.select(connection, PREVIEW, [run_id]):
            found.by_direction[base(attribute), direction] += patients
        for row in self.of_run(connection, run_id, sample)[:sample]:
            found.sample.append(Example(shown(row.patient_id), base(row.attribute), row.direction, row.path, row.effective.earliest))
        return found

    def expired(self, connection: Connection, enterprise: str, before: datetime) -> list[str]:
        """Runs whose newest undecided statement is older than ``before``."""
        sql = "SELECT run_id, max(at) FROM held_statements WHERE enterprise = ? AND state = 'held' GROUP BY run_id"
        return [run for run, at in self.database.select(connection, sql, [enterprise]) if instant(at) < before]

    def record_verdict(self, transaction: Connection, row: tuple[str, str, str], verdict: ReviewDecision) -> None:
        """Records a verdict on a run; ``row`` is its enterprise, source and id."""
        self.database.insert(transaction, VerdictRow, VERDICT_COLUMNS, [(*row, *verdict)])

    def verdicts(self, connection: Connection, run_id: str) -> list[ReviewDecision]:
        """The decisions about a run, in order."""
        sql = "SELECT verdict, actor, at, patients FROM verdicts WHERE run_id = ? ORDER BY seq"
        return [
            ReviewDecision(verdict, actor, instant(at), patients)
            for verdict, actor, at, patients in self.database.select(connection, sql, [run_id])
        ]

    def permitted_since(self, connection: Connection, source: str, since: datetime) -> tuple[int, bool]:
        """How many patients a live feed made more contactable since then, and whether any change of its source awaits review."""
        found = self.database.select(connection, PERMITTED_SINCE, [source, self.database.bound(since), source])[0]
        return int(found[0]), bool(found[1])

    def permitted_among(self, connection: Connection, source: str, patients: Iterable[int], since: datetime) -> set[int]:
        """Those of some patients whom a live feed made more contactable since then."""
        sql = "SELECT patient_id FROM loosened WHERE source = ? AND at > ? AND patient_id IN ??"
        return {number for (number,) in self.database.select(connection, sql, [source, self.database.bound(since), list(patients)])}

    def record_permitted(self, transaction: Connection, source: str, patients: Iterable[int], *, now: datetime, forget: datetime) -> None:
        """Records patients that a live feed made more contactable. From time to time, deletes those recorded before ``forget``."""
        cleaned = self._cleaned.get(source)
        if cleaned is None or not timedelta(0) <= now - cleaned < COUNT_INTERVAL:
            sql = "SELECT patient_id FROM loosened WHERE source = ? AND at < ?"
            expired = self.database.select(transaction, sql, [source, self.database.bound(forget)])
            self.database.delete(transaction, LoosenedRow, ("source", "patient_id"), [(source, row[0]) for row in expired])
            self._cleaned[source] = now
        self.database.upsert(transaction, LoosenedRow, ("source", "patient_id", "at"), [(source, patient, now) for patient in patients])

    def synced(self, connection: Connection, source: str) -> int:
        """How many patients a source has stated anything about. Scans all of them."""
        sql = "SELECT count(*) FROM assertions WHERE authority = ?"
        return int(self.database.select(connection, sql, [emr(source)])[0][0])

    def missing(self, connection: Connection, source: str, since: datetime) -> tuple[int, int]:
        """How many patients of a source were not received since then, and how many it has. Scans all of them."""
        known = "FROM assertions a JOIN patients p ON p.id = a.patient_id WHERE a.authority = ? AND p.merged_into IS NULL"
        rows = self.database.select(connection, f"SELECT count(*) {known} AND a.last_heard < ?", [emr(source), self.database.bound(since)])
        return int(rows[0][0]), int(self.database.select(connection, f"SELECT count(*) {known}", [emr(source)])[0][0])

    def synced_recently(self, connection: Connection, source: str, now: datetime) -> int:
        """The same, counted at most once a minute, for a live feed, which needs it in every batch."""
        counted = self._synced.get(source)
        if counted is None or not timedelta(0) <= now - counted[0] < COUNT_INTERVAL:
            counted = self._synced[source] = now, self.synced(connection, source)
        return counted[1]

    def _rows(self, connection: Connection, where: str, parameters: Sequence[Any]) -> list[HeldChange]:
        return [_read(row) for row in self.database.select(connection, f"{ROWS} {where}", parameters)]


def _stored(row: HeldChange) -> tuple[Any, ...]:
    effective = row.effective
    text = documents.write(row.value)
    codes = documents.write_code(row.codes)
    return (*row[:7], int(row.again), row.direction, text, row.path, effective.earliest, *row[12:16], codes, effective.end)


def _read(row: Sequence[Any]) -> HeldChange:
    *columns, latest = row
    change = HeldChange(*columns)
    value, codes = documents.as_tuples(change.attribute, documents.read(str(change.value))), documents.read_code(row[16])
    return change._replace(
        again=bool(change.again), value=value, effective=interval(change.effective, latest), at=instant(change.at), codes=codes
    )
