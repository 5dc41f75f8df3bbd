"""The refusals of each record of a patient, also while a newer assertion is in force (product rules 5.1 and 5.7). Pure.

The store keeps one assertion for each source and attribute. A patient has several FHIR Consents and Flags, each independent: a refusal of
one counts again when what was stated after it is taken back or ends. So that nothing permits by mistake:

* where nothing is asserted, or a value is taken back, the newest refusal of a record that still refuses counts instead;
* only a newer version of the record, or the end of its period, changes what the record refuses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from store import times
from store.domain.assertions import Merged, SourceAssertions
from store.domain.ordering import PATIENT, is_newer, refuser, stated
from store.preference import FACTS, Assertion, PatientStatements, RecordOutcome, opt_out, refuses
from store.times import Time


class RecordRefusal(NamedTuple):
    """The last statement of one record about an attribute that it refused at some time. ``origin``: its patient before any merge."""

    patient_id: int
    authority: str
    record: str
    attribute: str
    origin: int
    value: Any
    path: str
    effective: Time
    version: int
    evidence_id: str
    mapping: str

    @property
    def refuses(self) -> bool:
        """Whether the record stops contact now."""
        return refuses(self.attribute, self.value)


def may_change(item: PatientStatements, asserted: SourceAssertions | None) -> bool:
    """Whether a payload of a record (``ordering.refuser``) may change its refusals, for a patient without any so far."""
    before = asserted.assertions if asserted is not None else {}
    for name, one in item.statements.items():
        worst = opt_out(name)
        if worst is not None and (one.value == worst or (name in before and before[name].value == worst)):
            return True
    return False


def known(kept: Sequence[RecordRefusal], asserted: SourceAssertions | None, patient: int, authority: str) -> list[RecordRefusal]:
    """The refusals kept, with those asserted whose record has none: an earlier version of the store did not keep them."""
    have = {one[1:4] for one in kept}
    current = asserted.current().items() if asserted is not None else ()
    refused = [_refusal(patient, authority, name, patient, one) for name, one in current if _is_kept(name) and refuses(name, one.value)]
    return [*kept, *(one for one in refused if one.record and one[1:4] not in have)]


def after(
    kept: Sequence[RecordRefusal],
    item: PatientStatements,
    asserted: SourceAssertions | None,
    patient: int,
    authority: str,
    origin: int,
    *,
    replaces: bool = False,
) -> list[RecordRefusal]:
    """The refusals of a patient's records after one more payload.

    ``replaces``: it replaces what the same version of its record stated, as a statement that falls due does.
    """
    found, name = known(kept, asserted, patient, authority), refuser(item.evidence_id)
    for attribute, statement in stated(item).items() if name else ():
        if not _is_kept(attribute):
            continue
        former = [one for one in found if one[1:4] == (authority, name, attribute)]
        if not former and (not refuses(attribute, statement.value) or _comes_late(attribute, item, asserted)):
            continue
        new = RecordRefusal(patient, authority, name, attribute, origin, statement.value, statement.path, *_evidence(item))
        if any(_is_older(new, one, item, replaces=replaces) for one in former):
            continue
        found = [one for one in found if one not in former] + [new]
    return found


def restored(
    merged: Merged,
    item: PatientStatements,
    asserted: SourceAssertions | None,
    kept: Iterable[RecordRefusal],
    now: datetime,
    joined: datetime | None = None,
) -> Merged:
    """The result of a payload, with the refusals of records in place of what it takes back.

    ``joined``: the patient's last merge; a refusal from before it holds against everything from before it.
    """
    names = [name for name in stated(item) if name in merged.assertions and merged.assertions[name].value is None]
    if not names:
        return merged
    back = instead({name: merged.assertions[name] for name in names}, kept, now, joined)
    if not back:
        return merged
    before = asserted.assertions if asserted is not None else {}
    former = {name: before[name].value if name in before else None for name in back}
    changed = {name: one for name, one in merged.changed.items() if name not in back}
    changed |= {name: (former[name], one.value) for name, one in back.items() if former[name] != one.value}
    outcome = RecordOutcome.APPLIED if changed else RecordOutcome.UNCHANGED if merged.outcome == RecordOutcome.APPLIED else merged.outcome
    return replace(merged, assertions={**merged.assertions, **back}, changed=changed, outcome=outcome, settled=False)


def instead(
    assertions: Mapping[str, Assertion], kept: Iterable[RecordRefusal], now: datetime, joined: datetime | None = None
) -> dict[str, Assertion]:
    """The refusals that count in place of what is taken back, as new as both, by attribute. ``kept`` is of one authority."""
    found: dict[str, Assertion] = {}
    for one in sorted(kept, key=lambda one: (one.effective.latest, one.effective.earliest, one.record)):
        back = assertions.get(one.attribute)
        if back is None or back.value is not None or not one.refuses or _is_same_patient(one.record, back.evidence_id):
            continue
        when = times.newest(back.effective, one.effective)
        when = when if joined is None else times.newest(when, times.at(joined))
        found[one.attribute] = Assertion(one.value, when, now, one.evidence_id, one.path, one.version, mapping=one.mapping)
    return found


def with_refusals(
    asserted: Mapping[str, SourceAssertions], kept: Sequence[RecordRefusal], now: datetime, others: Collection[str] = ()
) -> dict[str, SourceAssertions]:
    """The assertions of every authority, with the refusals of records in place of what was taken back, or never stated.

    ``others``: authorities that may have no other assertions.
    """
    found = dict(asserted)
    for one in kept:
        if one.authority not in found and one.authority not in others:
            continue  # its source was retired
        known = found.get(one.authority) or SourceAssertions({}, one.effective, one.effective, "", now)
        nothing = Assertion(None, one.effective, now, "", one.path)
        current = {one.attribute: known.current().get(one.attribute, nothing)}
        if back := instead(current, [refusal for refusal in kept if refusal.authority == one.authority], now):
            found[one.authority] = replace(known, assertions={**known.current(), **back}, effective=known.confirmed)
    return found


def without_earlier(
    asserted: Mapping[str, SourceAssertions], kept: Iterable[RecordRefusal], since: datetime
) -> dict[str, SourceAssertions]:
    """The assertions of every authority without the refusals of records that were stated before a moment."""
    earlier = {(one.authority, one.attribute, one.evidence_id) for one in kept if one.refuses and one.effective.latest < since}
    found = dict(asserted)
    for authority, one in asserted.items():
        stays = {name: each for name, each in one.assertions.items() if (authority, name, each.evidence_id) not in earlier}
        found[authority] = replace(one, assertions=stays)
    return found


def _is_kept(attribute: str) -> bool:
    """Whether refusals of the attribute are kept by record: a death or a restriction is a fact about the patient."""
    return attribute not in FACTS


def _is_same_patient(record: str, evidence_id: str) -> bool:
    """Whether both are Patient resources: what one takes back it takes back for the person, also after a merge."""
    return record.startswith(PATIENT) and evidence_id.startswith(PATIENT)


def _refusal(patient: int, authority: str, name: str, origin: int, one: Assertion) -> RecordRefusal:
    evidence = (one.effective, one.version, one.evidence_id, one.mapping)
    return RecordRefusal(patient, authority, refuser(one.evidence_id), name, origin, one.value, one.path, *evidence)


def _evidence(item: PatientStatements) -> tuple[Time, int, str, str]:
    return item.effective, item.version, item.evidence_id, item.mapping


def _is_older(new: RecordRefusal, one: RecordRefusal, item: PatientStatements, *, replaces: bool) -> bool:
    """Whether the kept statement of the record counts: it is newer, or it refuses and nobody can tell."""
    if (item.evidence_id, item.version, item.effective) == (one.evidence_id, one.version, one.effective):
        return one.refuses and not (new.refuses or replaces or item.mapping != one.mapping)
    newer = is_newer(item, Assertion(one.value, one.effective, one.effective.latest, one.evidence_id, one.path, one.version))
    return newer is False or (newer is None and one.refuses and not new.refuses)


def _comes_late(attribute: str, item: PatientStatements, asserted: SourceAssertions | None) -> bool:
    """Whether a newer version of the record, which never refused, was read before."""
    old = asserted.assertions.get(attribute) if asserted is not None else None
    return old is not None and refuser(old.evidence_id) == refuser(item.evidence_id) and is_newer(item, old) is False
