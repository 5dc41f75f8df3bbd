"""Undoes a merge on a person's request: two records again, each with its own identifiers and history (product rule 5.7).

``store.domain.record_merge`` decides what each of them holds. Merges into one survivor are undone in reverse order, the latest first. The
EMR may merge the two again, but a repeat of the message whose merge was undone does not (``store.patients.merge``).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from store.db.database import Database
from store.db.tables import AssertionRow, PatientRow
from store.domain import record_refusals
from store.domain.assertions import SourceAssertions
from store.domain.documents import instant
from store.domain.identifiers import LOOKUP
from store.domain.ids import parsed, shown
from store.domain.patient import PatientRef
from store.domain.record_merge import ALWAYS, Merge, Side, UnmergedRecord, split
from store.errors import IdentifierAmbiguous, MergeRefused, PatientUnknown
from store.patients.apply import Application
from store.patients.opt_out_bindings import Bindings
from store.patients.patient_state import PatientState
from store.patients.reader import names
from store.patients.retired_marks import SavedMarks
from store.patients.write_backs import WriteBacks
from store.preference import EMR, STAFF, Assertion

MERGED_INTO = """WITH RECURSIVE gone(id) AS (SELECT id FROM patients WHERE enterprise = ? AND merged_into = ?
 UNION SELECT p.id FROM patients p JOIN gone ON p.merged_into = gone.id)
 SELECT m.merged, m.source, m.evidence_id, m.effective, m.at FROM merges m JOIN gone ON gone.id = m.merged
 JOIN patients p ON p.id = m.merged AND p.merged_into = m.survivor ORDER BY m.seq DESC"""


class MergedRecord(NamedTuple):
    """A record that was merged into a patient: its opaque id, the source of the merge, and since when."""

    id: str
    source: str
    evidence_id: str
    effective: datetime
    at: datetime


def merged_records(database: Database, enterprise: str, patient_id: str) -> list[MergedRecord]:
    """The records merged into a patient, also through others; the latest merge first, each record once. Undone merges are left out."""
    with database.read() as connection:
        rows = database.select(connection, MERGED_INTO, [enterprise, parsed(patient_id)])
    found = [MergedRecord(shown(row[0]), row[1].removeprefix(EMR), row[2], instant(row[3]), instant(row[4])) for row in rows]
    return list({one.id: one for one in reversed(found)}.values())[::-1]


ORIGINS = "SELECT authority, type, origin, kind FROM identifiers WHERE enterprise = ? AND value = ?"
INTO = "SELECT merged_into FROM patients WHERE enterprise = ? AND id = ?"
BELOW = "SELECT id FROM patients WHERE merged_into IN ??"
LAST = """SELECT m.merged, m.evidence_id, m.effective, m.seq, m.at FROM merges m JOIN patients p ON p.id = m.merged
 WHERE m.survivor = ? AND p.merged_into = m.survivor ORDER BY m.seq DESC LIMIT 1"""
RETURN = "UPDATE identifiers SET patient_id = {merged} WHERE patient_id = {survivor} AND origin IN ({origins})"


class UnmergedRecords(NamedTuple):
    """The store ids of the two records."""

    survivor: int
    restored: int


class Unmerging:
    """One merge undone inside one transaction. Use once: :meth:`run`."""

    def __init__(self, application: Application) -> None:
        self.work = application
        self.database, self.transaction = application.database, application.transaction

    def run(self, ref: PatientRef) -> UnmergedRecords:
        """Separates the record that ``ref`` names from the one it was merged into.

        Raises :class:`MergeRefused` with what to do first, :class:`PatientUnknown` or :class:`IdentifierAmbiguous`.
        """
        merged = self._merged(ref)
        survivor = self._into(merged)
        if survivor is None:
            raise MergeRefused("this record is not merged into another one: specify the record that was merged away")
        if self._into(survivor) is not None:
            raise MergeRefused("the surviving record was itself merged later: undo that merge first")
        last, evidence_id, effective, seq, at = self.database.select(self.transaction, LAST, [survivor])[0]
        if last != merged:
            raise MergeRefused("another record was merged into the same survivor later: undo that merge first")
        self._part(Side(seq, survivor), Side(seq, merged), Merge(evidence_id, instant(effective)), instant(at))
        self._part_bindings(survivor, merged, instant(at))
        WriteBacks(self.database).follow(self.transaction, self.work.enterprise, [survivor, merged], self.work.author.now)
        return UnmergedRecords(survivor, merged)

    def _merged(self, ref: PatientRef) -> int:
        if ref.id is not None:
            return parsed(ref.id) or 0
        rows = self.database.select(self.transaction, ORIGINS, [self.work.enterprise.name, ref.value])
        named = [row for row in rows if names(ref, row[0], row[1])]
        fitting = {row[2] for row in named if row[3] != LOOKUP} or {row[2] for row in named}
        if len(fitting) > 1:
            raise IdentifierAmbiguous("several records had this identifier: specify its authority, and type if needed")
        return int(fitting.pop()) if fitting else 0

    def _into(self, patient: int) -> int | None:
        rows = self.database.select(self.transaction, INTO, [self.work.enterprise.name, patient])
        if not rows:
            raise PatientUnknown("no such patient in this enterprise")
        found: int | None = rows[0][0]
        return found

    def _part(self, survivor_side: Side, merged_side: Side, merge: Merge, at: datetime) -> None:
        survivor_id, merged_id = survivor_side.record, merged_side.record
        opened = self.work.resume([survivor_id, merged_id])
        survivor, merged = opened[survivor_id], opened[merged_id]
        merged.numbers = {}  # its rows were deleted by the merge
        kept, was, since = self.work.refusals, set(survivor.asserted), at if merge.effective == ALWAYS else merge.effective
        now = record_refusals.without_earlier(survivor.asserted, kept.of(survivor_id), since)
        of_survivor, of_merged = split(now, self._half(survivor_side), self._half(merged_side), merge)
        marks = SavedMarks(self.database, self.transaction)
        parted = marks.part(survivor_side.seq, survivor.asserted, {survivor_id: of_survivor, merged_id: of_merged}, self.work.enterprise)
        below = self._below(merged_id)
        kept.give_back(survivor_id, merged_id, below, since)
        of_survivor, of_merged = (
            record_refusals.with_refusals(parted[one], kept.of(one), self.work.author.now, was) for one in (survivor_id, merged_id)
        )
        self._drop(survivor, of_survivor)
        self._drop(merged, of_merged)
        self._hold(survivor, of_survivor, merge, {"unmerged": (None, shown(merged_id), "")})
        self._hold(merged, of_merged, merge, {"merged_into": (shown(survivor_id), None, "")})
        self.work.finish()
        self.database.update(self.transaction, PatientRow, ("id",), ("merged_into",), [(None, merged_id)])
        self.work.future.give_back(survivor_id, merged_id, below, merge.effective)
        origins = ", ".join(str(number) for number in below)
        self.transaction.exec_driver_sql(RETURN.format(merged=merged_id, survivor=survivor_id, origins=origins))

    def _half(self, side: Side) -> UnmergedRecord:
        return UnmergedRecord(self.work.sides.before_merge(side), self.work.sides.own(side))

    def _hold(
        self, patient: PatientState, asserted: dict[str, SourceAssertions], merge: Merge, event: dict[str, tuple[Any, Any, str]]
    ) -> None:
        """Replaces the patient's assertions; the history shows every value that changes."""
        for authority in sorted({*patient.asserted, *asserted}):
            was = patient.asserted[authority].assertions if authority in patient.asserted else {}
            now = asserted[authority].assertions if authority in asserted else {}
            changed = {
                name: (was[name].value if name in was else None, now[name].value if name in now else None, _path(authority, now.get(name)))
                for name in {**was, **now}
                if name not in was or name not in now or was[name].value != now[name].value
            }
            if changed:
                self._line(patient, authority, changed, merge)
            patient.last_received.setdefault(authority, self.work.author.now)
            patient.content[authority] = None  # the next payload is merged, not only compared
        patient.asserted, patient.touched, patient.visible = asserted, set(asserted), True
        self._line(patient, self.work.author.authority, event, merge)

    def _part_bindings(self, survivor: int, merged: int, since: datetime) -> None:
        numbers = {is_merged: self.work.open[one].listed for is_merged, one in ((False, survivor), (True, merged))}
        bindings = Bindings(self.database, self.transaction, self.work.enterprise.name)
        bindings.part(survivor, merged, self._below(merged), since, numbers, self.work.author.now)

    def _line(self, patient: PatientState, authority: str, changes: dict[str, tuple[Any, Any, str]], merge: Merge) -> None:
        by = self.work.author
        self.work.add_history(patient, changes, merge.evidence_id, by.now, by._replace(authority=authority))

    def _drop(self, patient: PatientState, asserted: dict[str, SourceAssertions]) -> None:
        rows = [(patient.id, authority) for authority in patient.asserted if authority not in asserted]
        self.database.delete(self.transaction, AssertionRow, ("patient_id", "authority"), rows)

    def _below(self, patient: int) -> list[int]:
        """The record, and every record that was merged into it before."""
        found, level = [patient], [patient]
        while level:
            level = [number for (number,) in self.database.select(self.transaction, BELOW, [level])]
            found += level
        return found


def _path(authority: str, now: Assertion | None) -> str:
    """The path of a history line: empty for an unmerge, but what staff inherited from a retired source keeps its path."""
    return now.path if now is not None and authority == STAFF else ""
