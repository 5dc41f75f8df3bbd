"""The two sides of a merge: what each record holds by its own evidence, kept beside the merged patient.

While the two are one patient, a statement about either counts for both. A merge can be a mistake, and when it is undone each record must
hold what its own evidence states. So a payload is also merged into the side that its identifiers belong to, as if there had been no
merge. The sides are kept with the merge. Until a payload arrives for it, a side is what its record held at the merge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_records import MergeRow
from store.domain import assertions, documents, duplicates, local_dnc, payload, unreadable
from store.domain.assertions import SourceAssertions
from store.domain.documents import instant, interval
from store.domain.record_merge import Lineage, Side
from store.domain.records import decided
from store.domain.retirement import without_late
from store.preference import EMR, STAFF, PatientStatements

Records = dict[str, SourceAssertions]
"""Authority -> what it holds about one record."""

MERGE = "SELECT survivor, before, own FROM merges WHERE seq = ?"
OF_MERGED_RECORD = """SELECT authority, assertions, effective, confirmed, seen, since, effective_latest, confirmed_latest, unreadable, codes
 FROM assertions WHERE patient_id = ?"""


@dataclass(frozen=True, slots=True)
class ReceivedPayload:
    """One payload of one authority. ``digest`` is that of its whole content, before anything was held back.

    ``outdated``: the attributes of which its own record had newer evidence when it was merged; they count for that record only.
    """

    authority: str
    item: PatientStatements
    digest: str
    now: datetime
    outdated: frozenset[str] = frozenset()


@dataclass(slots=True)
class MergeSides:
    """The two sides of one merge: ``before`` it (the survivor), and each record's ``own`` state by what was stated about it since."""

    survivor: int
    before: Records
    own: dict[int, Records] = field(default_factory=dict)


class Sides:
    """The sides of the merges that one transaction touches. Changes are written by :meth:`write`."""

    def __init__(self, database: Database, transaction: Connection) -> None:
        self.database, self.transaction = database, transaction
        self.merges: dict[int, MergeSides] = {}
        self.changed: set[int] = set()

    def receive(self, lineage: Lineage, record: int, received: ReceivedPayload) -> None:
        """Merges a payload into the sides of one of the patient's records."""
        for side in lineage.sides(record):
            records = _merged(self.own(side), received, lineage.joined_before(side))
            if records is not None:
                self.put(side, records)

    def before_merge(self, side: Side) -> Records:
        """What a side held when the two records were merged."""
        merge = self._merge(side.seq)
        return dict(merge.before) if side.record == merge.survivor else self._of_merged_record(side.record)

    def own(self, side: Side) -> Records:
        """What a side holds by its own evidence."""
        merge = self._merge(side.seq)
        if side.record not in merge.own:
            merge.own[side.record] = self.before_merge(side)
        return dict(merge.own[side.record])

    def put(self, side: Side, records: Mapping[str, SourceAssertions]) -> None:
        """Replaces what a side holds."""
        self._merge(side.seq).own[side.record] = dict(records)
        self.changed.add(side.seq)

    def write(self) -> None:
        """Writes the sides that changed."""
        rows = [(written(self.merges[seq].own), seq) for seq in sorted(self.changed)]
        self.database.update(self.transaction, MergeRow, ("seq",), ("own",), rows)
        self.changed.clear()

    def _merge(self, seq: int) -> MergeSides:
        if seq not in self.merges:
            survivor, before, own = self.database.select(self.transaction, MERGE, [seq])[0]
            sides = {int(record): _records(rows) for record, rows in documents.read(own or "{}").items()}
            self.merges[seq] = MergeSides(
                survivor, _records(row[1:5] + row[6:8] + row[10:12] + row[9:10] + row[12:13] for row in documents.read(before)), sides
            )
        return self.merges[seq]

    def _of_merged_record(self, record: int) -> Records:
        """What a merged record held at the merge: its rows are never changed."""
        return _records(self.database.select(self.transaction, OF_MERGED_RECORD, [record]))


def _merged(records: Records, received: ReceivedPayload, joined: datetime | None) -> Records | None:
    """A side with one more payload; ``None`` if it knows that payload already, read by the same mapping."""
    item, asserted = received.item, records.get(received.authority)
    key = duplicates.key(received.digest, item.effective, item.version, item.evidence_id)
    if asserted is not None and duplicates.knows(asserted.seen, key) and not payload.was_read_otherwise(asserted, item):
        return None
    but = received.outdated if joined is not None else frozenset()
    item = payload.without_any(without_late(records, received.authority, payload.of_restricted(asserted, item)), but)
    stated_by_records = decided(asserted, item, received.now, joined)
    merged = assertions.merge(asserted, item, received.now, joined=joined, decided=stated_by_records)
    seen, since = (duplicates.remember(asserted.seen, key), asserted.since) if asserted is not None else (key, received.now)
    marks, before = (asserted.unreadable, asserted.current()) if asserted is not None else ({}, {})
    marks = unreadable.after(marks, before, item, whole=True, joined=joined, but=but)
    codes = payload.codes(asserted, item, received.now, marks)
    now = SourceAssertions(merged.assertions, merged.confirmed, merged.confirmed, seen, since, marks, codes)
    after = {**records, received.authority: now}
    if received.authority.startswith(EMR) and local_dnc.lifts(after, item):
        after[STAFF] = local_dnc.without_merge_mark(after[STAFF])
    return after


def written(own: Mapping[int, Mapping[str, SourceAssertions]]) -> str:
    """The sides of a merge as text."""
    return documents.write({str(record): [_row(*one) for one in sorted(records.items())] for record, records in own.items()})


def _row(authority: str, asserted: SourceAssertions) -> tuple[Any, ...]:
    stated, confirmed = asserted.effective, asserted.confirmed
    text, marks = documents.write_assertions(asserted.assertions), documents.write_marks(asserted.unreadable)
    return (
        authority,
        text,
        stated.earliest,
        confirmed.earliest,
        asserted.seen,
        asserted.since,
        stated.end,
        confirmed.end,
        marks,
        asserted.codes,
    )


def _records(rows: Any) -> Records:
    return {str(authority): _held(*columns) for authority, *columns in rows}


def _held(text: str, effective: Any, confirmed: Any, seen: str, since: Any, *rest: Any) -> SourceAssertions:
    latest, confirmed_latest, marks, codes, *_ = (*rest, None, None, None, None)  # sides written by an earlier version have fewer columns
    times = interval(effective, latest), interval(confirmed, confirmed_latest)
    return SourceAssertions(documents.read_assertions(text), *times, seen, instant(since), documents.read_marks(marks), codes)
