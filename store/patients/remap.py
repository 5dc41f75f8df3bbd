"""Reads the kept codes of a patient again when the mapping changed (product rule 5.8).

The result keeps the time of its evidence: a newer statement stays newer. What would permit more contact passes the safeguard, like any
other evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from store.domain import documents, source_codes
from store.domain.assertions import Merged, SourceAssertions, anchored, join
from store.domain.record_merge import Lineage, Side
from store.domain.record_refusals import RecordRefusal, after, with_refusals
from store.domain.side_codes import refusals, refusing, with_sides
from store.patients.patient_batch import PatientBatch
from store.patients.patient_state import PatientState
from store.preference import Assertion, Codes, PatientStatements, RecordOutcome, Statement

REASON = "read with another mapping"

Assertions = Mapping[str, Assertion]

OF_KEPT = Codes("", ())
"""Marks a held change that was read from the kept codes, so that the codes are not kept twice."""


def read_again(work: PatientBatch, patient: PatientState, record: int) -> str:
    """Reads the author's codes by today's mapping: ``applied``, ``held``, or "" where nothing changed."""
    asserted = patient.asserted.get(work.author.authority)
    now = _folded(asserted, work.reader, patient.joined) if asserted is not None else None
    if asserted is None or now is None:
        return ""
    refused = _refused(work, patient, asserted, now, record)
    now = with_refusals({work.author.authority: now}, refused, work.author.now)[work.author.authority]
    if patient.lineage is not None:
        _sides_again(work, patient.lineage, patient.records)
        now = _with_sides(work, patient.lineage, patient.records, now)
        now = refusing(now, _kept_by_merges(work, patient.lineage).get(patient.id, {}))
    before = asserted.current()
    changed = _changed(before, now.assertions)
    back = _held_back(work, patient, record, before, now, changed)
    assertions = {name: one for name, one in now.assertions.items() if name not in back}
    assertions |= {name: before[name] for name in back if name in before}
    applied = {name: one for name, one in changed.items() if name not in back}
    patient.asserted[work.author.authority] = replace(now, assertions=assertions)
    work.keep_refusals(patient, refused, but=back)
    patient.content[work.author.authority] = None
    patient.touched.add(work.author.authority)
    patient.last_received.setdefault(work.author.authority, work.author.now)
    patient.visible = patient.visible or bool(applied) or now.unreadable != asserted.unreadable
    _record(work, patient, applied, before, assertions)
    return RecordOutcome.APPLIED if applied or now.unreadable != asserted.unreadable else RecordOutcome.HELD if back else ""


def at_merge(work: PatientBatch, patient: PatientState, record: int) -> SourceAssertions | None:
    """What the author asserted about one of the patient's records when it was first merged, by today's mapping."""
    side = next(iter(patient.lineage.sides(record)), None) if patient.lineage is not None else None
    asserted = work.sides.before_merge(side).get(work.author.authority) if side is not None else None
    return (_folded(asserted, work.reader, None) or asserted) if asserted is not None else None


def _folded(asserted: SourceAssertions, reader: source_codes.CodeReader | None, joined: datetime | None) -> SourceAssertions | None:
    """The assertions by today's mapping; ``None`` if they are that already, or if no codes are kept."""
    if asserted.codes is None or reader is None or not source_codes.are_of_another_mapping(asserted.codes, reader):
        return None
    now, again = source_codes.fold(asserted, documents.read_codes(asserted.codes)[1], reader, joined)
    return replace(now, codes=documents.write_codes(reader.mapping, again))


def _refused(
    work: PatientBatch, patient: PatientState, asserted: SourceAssertions, now: SourceAssertions, record: int
) -> list[RecordRefusal]:
    """The refusals of the author's records by today's mapping."""
    kept = [one for one in work.refusals_of(patient) if one.authority == work.author.authority]
    was, again = (documents.read_codes(one.codes or "")[1] for one in (asserted, now))
    for item in source_codes.read_otherwise(was, again):
        kept = after(kept, item, asserted, patient.id, work.author.authority, record, replaces=True)
    return kept


def _with_sides(work: PatientBatch, lineage: Lineage, records: Iterable[int], now: SourceAssertions) -> SourceAssertions:
    """The assertions, with those that each of the patient's records makes by older codes of its own."""
    sides = [side for record in records for side in lineage.sides(record)]
    own = ((work.sides.own(side).get(work.author.authority), lineage.effective(side)) for side in sides)
    return with_sides(now, [(asserted, joined) for asserted, joined in own if asserted is not None])


def _kept_by_merges(work: PatientBatch, lineage: Lineage) -> dict[int, dict[str, Assertion]]:
    """By record, the refusals of either side at each merge, dated by that merge (product rule 5.7) and read by today's mapping."""
    kept: dict[int, dict[str, Assertion]] = {}
    for one in sorted(lineage.by_merged.values()):
        sides: list[SourceAssertions] = []
        for side in (Side(one.seq, one.survivor), Side(one.seq, one.merged)):
            asserted = work.sides.before_merge(side).get(work.author.authority)
            if asserted is not None:
                again = _folded(asserted, work.reader, lineage.joined_before(side)) or asserted
                sides.append(refusing(again, kept.get(side.record, {})))
        if sides:
            both = join(*sides) if len(sides) > 1 else sides[0]
            kept[one.survivor] = refusals(anchored(both, one.effective))
    return kept


def _sides_again(work: PatientBatch, lineage: Lineage, records: Iterable[int]) -> None:
    """Reads the codes of each of the patient's records again, so that they are right after an unmerge."""
    for side in (side for record in records for side in lineage.sides(record)):
        own = work.sides.own(side)
        asserted = own.get(work.author.authority)
        now = _folded(asserted, work.reader, lineage.joined_before(side)) if asserted is not None else None
        if now is not None:
            work.sides.put(side, {**own, work.author.authority: now})


def apply_held(work: PatientBatch, patient: PatientState, asserted: SourceAssertions, names: Collection[str]) -> bool:
    """Applies an approved reading of the kept codes: they are read again, and count as no new evidence."""
    by, kept = documents.read_codes(asserted.codes or " {}")
    now, again = source_codes.fold(asserted, kept, _AsItIs(by), patient.joined)
    if patient.lineage is not None:
        now = replace(now, codes=documents.write_codes(by, again))
        now = _with_sides(work, patient.lineage, patient.records, now)
    before = asserted.current()
    assertions = {name: one for name, one in before.items() if name not in names}
    assertions |= {name: now.assertions[name] for name in names if name in now.assertions}
    applied = _changed(before, assertions)
    patient.asserted[work.author.authority] = replace(asserted, assertions=assertions, effective=asserted.confirmed)
    patient.content[work.author.authority] = None
    patient.visible = patient.visible or bool(applied)
    _record(work, patient, applied, before, assertions)
    return bool(applied)


class _AsItIs(NamedTuple):
    """A reader that reads every code as it was read last."""

    mapping: str

    def reread(self, attribute: str, codes: Codes) -> None:
        return None


def _changed(before: Assertions, after: Assertions) -> dict[str, tuple[Any, Any]]:
    values = {name: tuple(side[name].value if name in side else None for side in (before, after)) for name in {**before, **after}}
    return {name: (was, now) for name, (was, now) in values.items() if was != now}


def _held_back(
    work: PatientBatch,
    patient: PatientState,
    record: int,
    before: Assertions,
    now: SourceAssertions,
    changed: Mapping[str, tuple[Any, Any]],
) -> set[str]:
    """The attributes that the safeguard holds back."""
    back: set[str] = set()
    if patient.is_new or work.reader is None:
        return back
    mapping = work.reader.mapping
    for name, pair in changed.items():
        evidence = now.assertions.get(name) or before[name]
        item = PatientStatements(
            (),
            {name: Statement(pair[1], evidence.path)},
            evidence.effective,
            evidence.evidence_id,
            evidence.version,
            mapping=mapping,
            codes={name: OF_KEPT},
        )
        merged = Merged(now.assertions, {name: pair}, RecordOutcome.APPLIED, settled=False, confirmed=now.confirmed)
        back |= work.held_back(patient, item, merged, record=record)
    return back


def _record(
    work: PatientBatch, patient: PatientState, changed: Mapping[str, tuple[Any, Any]], before: Assertions, after: Assertions
) -> None:
    """Adds a history line for each change, with the evidence whose reading changed."""
    by = work.author._replace(reason=work.author.reason or REASON)
    for name, (was, now) in sorted(changed.items()):
        evidence = after.get(name) or before[name]
        work.add_history(patient, {name: (was, now, evidence.path)}, evidence.evidence_id, evidence.effective.earliest, by)
