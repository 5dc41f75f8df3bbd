"""A patient whom another mapping read is read again by today's, from the codes that are kept (product rule 5.8).

It is as old as it was: a newer statement stays newer. What would make the patient more contactable passes the safeguard like any evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from store.domain import documents, payload, source_codes
from store.domain.assertions import Merged, SourceAssertions, anchored, join
from store.domain.ordering import record_of, stated
from store.domain.record_merge import Lineage, Side
from store.domain.record_refusals import RecordRefusal, after, standing
from store.domain.side_codes import refusals, refusing, with_sides
from store.patients.patient_batch import PatientBatch
from store.patients.patient_state import PatientState
from store.preference import Assertion, Codes, PatientStatements, RecordOutcome, Statement

REASON = "read with another mapping"

Assertions = Mapping[str, Assertion]

OF_KEPT = Codes("", ())
"""Stands for the codes that are kept already, where what was folded from them waits for the safeguard."""


def read_again(work: PatientBatch, patient: PatientState, record: int) -> str:
    """Folds the codes of the author's authority; what became of it: ``applied``, ``held``, or empty where nothing changed."""
    held = patient.held.get(work.author.authority)
    now = _folded(held, work.reader, patient.joined) if held is not None else None
    if held is None or now is None:
        return ""
    refused = _refused(work, patient, held, now, record)
    now = standing({work.author.authority: now}, refused, work.author.now)[work.author.authority]
    if patient.lineage is not None:
        _sides_again(work, patient.lineage, patient.records)
        now = _with_sides(work, patient.lineage, patient.records, now)
        now = refusing(now, _kept_by_merges(work, patient.lineage).get(patient.id, {}))
    before = held.current()
    changed = _changed(before, now.assertions)
    back = _held_back(work, patient, record, before, now, changed)
    assertions = {name: one for name, one in now.assertions.items() if name not in back}
    assertions |= {name: before[name] for name in back if name in before}
    told = {name: one for name, one in changed.items() if name not in back}
    patient.held[work.author.authority] = replace(now, assertions=assertions)
    work.keep_refusals(patient, refused, but=back)
    patient.content[work.author.authority] = None
    patient.touched.add(work.author.authority)
    patient.heard.setdefault(work.author.authority, work.author.now)
    patient.visible = patient.visible or bool(told) or now.unreadable != held.unreadable
    _record(work, patient, told, before, assertions)
    return RecordOutcome.APPLIED if told or now.unreadable != held.unreadable else RecordOutcome.HELD if back else ""


def as_read_now(held: SourceAssertions | None, item: PatientStatements, now: datetime, joined: datetime | None) -> dict[str, Assertion]:
    """What stands of a payload's attributes of which today's reading waits for the safeguard: by all codes, not beside the former
    reading."""
    if held is None or not item.mapping or payload.is_of_another_mapping(held, item):
        return {}
    before = held.current()
    waiting = [name for name in stated(item) if name in before and before[name].mapping != item.mapping]
    kept = payload.codes_of(held)[1] if waiting else None
    if kept is None:
        return {}
    told = source_codes.after(kept, item, now, held, held.unreadable)
    by_codes = [name for name in waiting if name in kept and not record_of(item.evidence_id) and not record_of(before[name].evidence_id)]
    stands = {name: source_codes.standing(name, told[name], joined, item.mapping) for name in by_codes}
    return {name: one or _cleared(item, name, now) for name, one in stands.items()}


def _cleared(item: PatientStatements, name: str, now: datetime) -> Assertion:
    return Assertion(None, item.effective, now, item.evidence_id, item.statements[name].path, item.version, mapping=item.mapping)


def _folded(held: SourceAssertions, reader: source_codes.CodeReader | None, joined: datetime | None) -> SourceAssertions | None:
    """What is asserted by today's mapping; ``None`` where it is that already, or nobody can tell."""
    if reader is None or held.codes is None or held.codes.startswith(f"{reader.mapping} "):
        return None
    now, again = source_codes.fold(held, documents.read_codes(held.codes)[1], reader, joined)
    return replace(now, codes=documents.write_codes(reader.mapping, again))


def _refused(work: PatientBatch, patient: PatientState, held: SourceAssertions, now: SourceAssertions, record: int) -> list[RecordRefusal]:
    """What the records of the author refuse by today's mapping."""
    kept = [one for one in work.refusals_of(patient) if one.authority == work.author.authority]
    was, again = (documents.read_codes(one.codes or "")[1] for one in (held, now))
    for item in source_codes.read_otherwise(was, again):
        kept = after(kept, item, held, patient.id, work.author.authority, record, replaces=True)
    return kept


def _with_sides(work: PatientBatch, lineage: Lineage, records: Iterable[int], now: SourceAssertions) -> SourceAssertions:
    """What is asserted, with what each record that the patient is says by older codes of its own."""
    own = (work.sides.own(side) for record in records for side in lineage.sides(record))
    return with_sides(now, [one[work.author.authority] for one in own if work.author.authority in one], lineage.joined)


def _kept_by_merges(work: PatientBatch, lineage: Lineage) -> dict[int, dict[str, Assertion]]:
    """By record, what refused of either when it became one with others, as old as the merge made it (rule 5.7): by today's mapping."""
    kept: dict[int, dict[str, Assertion]] = {}
    for one in sorted(lineage.by_merged.values()):
        met: list[SourceAssertions] = []
        for side in (Side(one.seq, one.survivor), Side(one.seq, one.merged)):
            held = work.sides.then(side).get(work.author.authority)
            if held is not None:
                again = _folded(held, work.reader, lineage.joined_before(side)) or held
                met.append(refusing(again, kept.get(side.record, {})))
        if met:
            both = join(*met) if len(met) > 1 else met[0]
            kept[one.survivor] = refusals(anchored(both, one.effective))
    return kept


def _sides_again(work: PatientBatch, lineage: Lineage, records: Iterable[int]) -> None:
    """The same of each record that the patient is, so that all are right when they part."""
    for side in (side for record in records for side in lineage.sides(record)):
        own = work.sides.own(side)
        held = own.get(work.author.authority)
        now = _folded(held, work.reader, lineage.joined_before(side)) if held is not None else None
        if now is not None:
            work.sides.put(side, {**own, work.author.authority: now})


def let_through(work: PatientBatch, patient: PatientState, held: SourceAssertions, names: Collection[str]) -> bool:
    """What a reading by today's mapping would permit takes effect now: it is folded from the codes again, and is no new evidence."""
    by, kept = documents.read_codes(held.codes or " {}")
    now, again = source_codes.fold(held, kept, _AsItIs(by), patient.joined)
    if patient.lineage is not None:
        now = replace(now, codes=documents.write_codes(by, again))
        now = _with_sides(work, patient.lineage, patient.records, now)
    before = held.current()
    assertions = {name: one for name, one in before.items() if name not in names}
    assertions |= {name: now.assertions[name] for name in names if name in now.assertions}
    told = _changed(before, assertions)
    patient.held[work.author.authority] = replace(held, assertions=assertions, effective=held.confirmed)
    patient.content[work.author.authority] = None
    patient.visible = patient.visible or bool(told)
    _record(work, patient, told, before, assertions)
    return bool(told)


class _AsItIs(NamedTuple):
    """Reads no code another way than it was read last."""

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
    """The attributes that the safeguard keeps as they were."""
    back: set[str] = set()
    if work.gate is None or patient.is_new or work.reader is None:
        return back
    mapping = work.reader.mapping
    for name, pair in changed.items():
        said = now.assertions.get(name) or before[name]
        item = PatientStatements(
            (),
            {name: Statement(pair[1], said.path)},
            said.effective,
            said.evidence_id,
            said.version,
            mapping=mapping,
            codes={name: OF_KEPT},
        )
        merged = Merged(now.assertions, {name: pair}, RecordOutcome.APPLIED, settled=False, confirmed=now.confirmed)
        back |= work.gate.sift(patient.id, patient.held, item, merged, record=record)
    return back


def _record(work: PatientBatch, patient: PatientState, told: Mapping[str, tuple[Any, Any]], before: Assertions, after: Assertions) -> None:
    """Lines of the history, by the evidence whose reading changed."""
    by = work.author._replace(reason=work.author.reason or REASON)
    for name, (was, now) in sorted(told.items()):
        said = after.get(name) or before[name]
        work.tell(patient, {name: (was, now, said.path)}, said.evidence_id, said.effective.earliest, by)
