"""What a retired source asserted about each patient, and what staff did then, so that retiring it can be undone.

A merge may be undone after its patient's source was retired. Each record then has what its own side says, with the source's values
in staff's hands, and undoing the retirement gives each its own mark back.
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


def text(held: SourceAssertions | None, heard: datetime | None) -> str:
    """One authority's row about a patient as text; ``null`` where there is none."""
    if held is None:
        return "null"
    said = documents.write_assertions(held.assertions)
    stated, again = documents.write_time(held.effective), documents.write_time(held.confirmed)
    return documents.write(
        (said, stated, again, held.seen, held.since, heard or held.confirmed.latest, documents.write_marks(held.unreadable), held.codes)
    )


def read(saved: str) -> SourceAssertions | None:
    """The same back."""
    row = documents.read(saved)
    if row is None:
        return None
    said, effective, confirmed, seen, since, _, *rest = row
    marks, codes = [*rest, None, None][:2]  # what an earlier version saved has less
    stated, again = documents.read_time(effective), documents.read_time(confirmed)
    return SourceAssertions(documents.read_assertions(said), stated, again, seen, instant(since), documents.read_marks(marks), codes)


def heard(saved: str) -> datetime:
    """When the source of a mark was last heard."""
    return instant(documents.read(saved)[5])


class SavedMarks:
    """The saved marks, inside a transaction that the caller opened."""

    def __init__(self, database: Database, transaction: Connection) -> None:
        self.database, self.transaction = database, transaction

    def keep(self, rows: list[tuple[Any, ...]]) -> None:
        """``rows``: release id, patient, the source's mark and staff's words as :func:`text`."""
        self.database.insert(self.transaction, ReleasedMarkRow, COLUMNS, rows)

    def merges_since(self, release: str) -> set[int]:
        """The numbers of the merges that happened after a release."""
        return {seq for (seq,) in self.database.select(self.transaction, MERGES_SINCE, [release])}

    def part(self, seq: int, now: Records, halves: Mapping[int, Records], enterprise: Enterprise) -> dict[int, Records]:
        """The two records of a merge that is undone, of which sources were retired meanwhile; ``now`` is what stands for both.

        A source that has spoken about them again since is theirs again.
        """
        parted = dict(halves)
        for release, source, at in self._select(RELEASED_SINCE, [seq]):
            if emr(str(source)) not in now:
                self._replace(str(release), emr(str(source)), parted)
                for record, held in parted.items():
                    if emr(str(source)) in held:
                        parted[record] = inherit(held, emr(str(source)), str(source), enterprise, instant(at))
        return parted

    def _replace(self, release: str, authority: str, halves: Mapping[int, Records]) -> None:
        self.database.delete(self.transaction, ReleasedMarkRow, COLUMNS[:2], [(release, record) for record in halves])
        marks = ((record, held.get(authority), held.get(STAFF)) for record, held in halves.items())
        self.keep([(release, record, text(mark, None), text(staff, None)) for record, mark, staff in marks if mark is not None])

    def _select(self, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        return self.database.select(self.transaction, sql, parameters)
