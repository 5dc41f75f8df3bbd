"""What each of two records that became one says under its own names, kept beside what stands for both.

While the two are one patient, what is said of either counts for both. But a merge can be a mistake, and when it is undone each record
must be what its own evidence says. So a payload is also heard by the side that its identifiers belong to, as though there had been no
merge. The sides are kept with the merge; until something is said since, a side is what stood when the two met.
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

MET = "SELECT survivor, before, own FROM merges WHERE seq = ?"
AS_IT_WENT = """SELECT authority, assertions, effective, confirmed, seen, since, effective_latest, confirmed_latest, unreadable, codes
 FROM assertions WHERE patient_id = ?"""


@dataclass(frozen=True, slots=True)
class ReceivedPayload:
    """One payload of one authority, as a side hears it. ``digest`` is that of its whole content, before anything was held back."""

    authority: str
    item: PatientStatements
    digest: str
    now: datetime


@dataclass(slots=True)
class Met:
    """The two sides of one merge: as they met, and as they are by what was said under their own names since."""

    survivor: int
    before: Records
    own: dict[int, Records] = field(default_factory=dict)


class Sides:
    """The sides of the merges that one transaction touches. Changes are written by :meth:`write`."""

    def __init__(self, database: Database, transaction: Connection) -> None:
        self.database, self.transaction = database, transaction
        self.met: dict[int, Met] = {}
        self.changed: set[int] = set()

    def hear(self, lineage: Lineage, record: int, heard: ReceivedPayload) -> None:
        """A payload about one of the patient's records, beside the patient itself."""
        for side in lineage.sides(record):
            now = _after(self.own(side), heard, lineage.joined_before(side))
            if now is not None:
                self.put(side, now)

    def then(self, side: Side) -> Records:
        """What stood of a side when the two records met."""
        met = self._met(side.seq)
        return dict(met.before) if side.record == met.survivor else self._as_it_went(side.record)

    def own(self, side: Side) -> Records:
        """What stands of a side by its own evidence."""
        met = self._met(side.seq)
        if side.record not in met.own:
            met.own[side.record] = self.then(side)
        return dict(met.own[side.record])

    def put(self, side: Side, records: Mapping[str, SourceAssertions]) -> None:
        """From now on this is what stands of a side."""
        self._met(side.seq).own[side.record] = dict(records)
        self.changed.add(side.seq)

    def write(self) -> None:
        """Writes the sides that changed."""
        rows = [(written(self.met[seq].own), seq) for seq in sorted(self.changed)]
        self.database.update(self.transaction, MergeRow, ("seq",), ("own",), rows)
        self.changed.clear()

    def _met(self, seq: int) -> Met:
        if seq not in self.met:
            survivor, before, own = self.database.select(self.transaction, MET, [seq])[0]
            sides = {int(record): _records(rows) for record, rows in documents.read(own or "{}").items()}
            self.met[seq] = Met(
                survivor, _records(row[1:5] + row[6:8] + row[10:12] + row[9:10] + row[12:13] for row in documents.read(before)), sides
            )
        return self.met[seq]

    def _as_it_went(self, record: int) -> Records:
        """The merged record's rows stay as they were."""
        return _records(self.database.select(self.transaction, AS_IT_WENT, [record]))


def _after(records: Records, heard: ReceivedPayload, joined: datetime | None) -> Records | None:
    """A side with one payload more; ``None`` where it has heard it before, as it is read now."""
    item, held = heard.item, records.get(heard.authority)
    key = duplicates.key(heard.digest, item.effective, item.version, item.evidence_id)
    if held is not None and duplicates.knows(held.seen, key) and not payload.was_read_otherwise(held, item):
        return None
    item = without_late(records, heard.authority, payload.of_restricted(held, item))
    stands = decided(held, item, heard.now, joined)
    merged = assertions.merge(held, item, heard.now, joined=joined, decided=stands)
    line, since = (duplicates.remember(held.seen, key), held.since) if held is not None else (key, heard.now)
    was, before = (held.unreadable, held.current()) if held is not None else ({}, {})
    marks = unreadable.after(was, before, item, whole=True, joined=joined)
    codes = payload.codes(held, item, heard.now, marks)
    after = {**records, heard.authority: SourceAssertions(merged.assertions, merged.confirmed, merged.confirmed, line, since, marks, codes)}
    if heard.authority.startswith(EMR) and local_dnc.lifts(after, item):
        after[STAFF] = local_dnc.lifted(after[STAFF])
    return after


def written(own: Mapping[int, Mapping[str, SourceAssertions]]) -> str:
    """The sides of a merge as text."""
    return documents.write({str(record): [_row(*one) for one in sorted(records.items())] for record, records in own.items()})


def _row(authority: str, held: SourceAssertions) -> tuple[Any, ...]:
    stated, again = held.effective, held.confirmed
    said, marks = documents.write_assertions(held.assertions), documents.write_marks(held.unreadable)
    return authority, said, stated.earliest, again.earliest, held.seen, held.since, stated.end, again.end, marks, held.codes


def _records(rows: Any) -> Records:
    return {str(authority): _held(*said) for authority, *said in rows}


def _held(text: str, effective: Any, confirmed: Any, line: str, since: Any, *rest: Any) -> SourceAssertions:
    latest, confirmed_latest, marks, codes, *_ = (*rest, None, None, None, None)  # sides that were written by an earlier version have less
    stated, again = interval(effective, latest), interval(confirmed, confirmed_latest)
    return SourceAssertions(documents.read_assertions(text), stated, again, line, instant(since), documents.read_marks(marks), codes)
