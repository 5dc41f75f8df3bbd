"""What a retired source and staff asserted about each patient at the retirement, so that it can be undone.

A merge may be undone after its patient's source was retired. Each record then holds what its own side states, with staff owning the
source's values, and undoing the retirement gives each record its own mark back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_operations import ReleasedMarkRow
from store.domain import documents
from store.domain.assertions import SourceAssertions
from store.domain.documents import instant
from store.domain.enterprise import Enterprise
from store.domain.retirement import inherit
from store.preference import STAFF, emr

COLUMNS = ("release_id", "patient_id", "mark", "staff")
RELEASED_SINCE = """SELECT r.id, r.source, r.at FROM releases r JOIN merges m ON m.enterprise = r.enterprise
 WHERE m.seq = ? AND r.at >= m.at AND r.undone_at IS NULL ORDER BY r.at DESC"""
MERGES_SINCE = "SELECT m.seq FROM merges m JOIN releases r ON r.enterprise = m.enterprise WHERE r.id = ? AND m.at > r.at"

Records = Mapping[str, SourceAssertions]


def text(asserted: SourceAssertions | None, last_received: datetime | None) -> str:
    """One authority's row about a patient as text; ``null`` where there is none."""
    if asserted is None:
        return "null"
    assertions, marks = documents.write_assertions(asserted.assertions), documents.write_marks(asserted.unreadable)
    times = documents.write_time(asserted.effective), documents.write_time(asserted.confirmed)
    return documents.write(
        (assertions, *times, asserted.seen, asserted.since, last_received or asserted.confirmed.latest, marks, asserted.codes)
    )


def read(saved: str) -> SourceAssertions | None:
    """The inverse of :func:`text`."""
    row = documents.read(saved)
    if row is None:
        return None
    assertions, effective, confirmed, seen, since, _, *rest = row
    marks, codes = [*rest, None, None][:2]  # an earlier version saved fewer values
    times = documents.read_time(effective), documents.read_time(confirmed)
    return SourceAssertions(documents.read_assertions(assertions), *times, seen, instant(since), documents.read_marks(marks), codes)


def last_received(saved: str) -> datetime:
    """When the source of a mark was last received."""
    return instant(documents.read(saved)[5])


class SavedMarks:
    """The saved marks, inside a transaction that the caller opened."""

    def __init__(self, database: Database, transaction: Connection) -> None:
        self.database, self.transaction = database, transaction

    def keep(self, rows: list[tuple[Any, ...]]) -> None:
        """Writes marks. A row: release id, patient, what the source and what staff assert, both as :func:`text`."""
        self.database.insert(self.transaction, ReleasedMarkRow, COLUMNS, rows)

    def merges_since(self, release: str) -> set[int]:
        """The numbers of the merges that happened after a release."""
        return {seq for (seq,) in self.database.select(self.transaction, MERGES_SINCE, [release])}

    def part(self, seq: int, now: Records, halves: Mapping[int, Records], enterprise: Enterprise) -> dict[int, Records]:
        """The two records of an undone merge, with sources that were retired meanwhile; ``now``: the assertions about both.

        A source that has stated something about them since then counts as live.
        """
        parted = dict(halves)
        for release, source, at in self._select(RELEASED_SINCE, [seq]):
            if emr(str(source)) not in now:
                self._replace(str(release), emr(str(source)), parted)
                for record, asserted in parted.items():
                    if emr(str(source)) in asserted:
                        parted[record] = inherit(asserted, emr(str(source)), str(source), enterprise, instant(at))
        return parted

    def _replace(self, release: str, authority: str, halves: Mapping[int, Records]) -> None:
        self.database.delete(self.transaction, ReleasedMarkRow, COLUMNS[:2], [(release, record) for record in halves])
        marks = ((record, asserted.get(authority), asserted.get(STAFF)) for record, asserted in halves.items())
        self.keep([(release, record, text(mark, None), text(staff, None)) for record, mark, staff in marks if mark is not None])

    def _select(self, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        return self.database.select(self.transaction, sql, parameters)
