"""What each record of a patient refuses by itself, also while something newer stands (product rules 5.1 and 5.7). Pure.

The store keeps one assertion for each source and attribute. Of FHIR's Consents and Flags a patient has several, each with a life of its
own: what one of them refuses counts again once what was stated after it is taken back or over. So that nothing permits that did not:

* where nothing stands, or something is taken back, the newest refusal of a record that still refuses stands instead;
* a newer version of the record, and the end of its period, change what the record refuses, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from store import times
from store.domain.assertions import Merged, SourceAssertions
from store.domain.ordering import PATIENT, is_newer, refuser, stated
from store.preference import FACTS, Assertion, PatientStatements, RecordOutcome, refuses
from store.times import Time


class RecordRefusal(NamedTuple):
    """What one record said last of one attribute, if it ever refused it. ``origin`` is the patient whose it was before a merge."""

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


def is_told(item: PatientStatements, held: SourceAssertions | None) -> bool:
    """Whether a payload may say something about refusals of records, where none is kept of its patient so far."""
    if not refuser(item.evidence_id):
        return False
    before = held.assertions if held is not None else {}
    return any(refuses(name, one.value) or _is_refused(name, before) for name, one in item.statements.items() if _is_kept(name))


def known(kept: Sequence[RecordRefusal], held: SourceAssertions | None, patient: int, authority: str) -> list[RecordRefusal]:
    """What is kept, with what stands where nothing is kept of its record: an earlier version of the store did not keep any."""
    have = {one[1:4] for one in kept}
    said = held.current().items() if held is not None else ()
    stands = [_refusal(patient, authority, name, patient, one) for name, one in said if _is_kept(name) and refuses(name, one.value)]
    return [*kept, *(one for one in stands if one.record and one[1:4] not in have)]


def after(
    kept: Sequence[RecordRefusal],
    item: PatientStatements,
    held: SourceAssertions | None,
    patient: int,
    authority: str,
    origin: int,
    *,
    replaces: bool = False,
) -> list[RecordRefusal]:
    """What the records of a patient refuse once a payload is known.

    ``replaces``: it is known to replace what the same version of its record stated, as what is due does.
    """
    found, name = known(kept, held, patient, authority), refuser(item.evidence_id)
    for attribute, said in stated(item).items() if name else ():
        if not _is_kept(attribute):
            continue
        new = RecordRefusal(patient, authority, name, attribute, origin, said.value, said.path, *_evidence(item))
        mine = [one for one in found if one[1:4] == new[1:4]]
        is_late = any(_is_older(new, one, item, replaces=replaces) for one in mine)
        if is_late or (not mine and (not new.refuses or _comes_late(attribute, item, held))):
            continue
        found = [one for one in found if one not in mine] + [new]
    return found


def restored(
    merged: Merged,
    item: PatientStatements,
    held: SourceAssertions | None,
    kept: Iterable[RecordRefusal],
    now: datetime,
    joined: datetime | None = None,
) -> Merged:
    """What stands after a payload, with the refusals of records instead of what it takes back.

    ``joined``: when the patient last became one with another record; a refusal from before holds against all from before.
    """
    names = [name for name in stated(item) if name in merged.assertions and merged.assertions[name].value is None]
    if not names:
        return merged
    back = instead({name: merged.assertions[name] for name in names}, kept, now, joined)
    if not back:
        return merged
    before = held.assertions if held is not None else {}
    was = {name: before[name].value if name in before else None for name in back}
    changed = {name: one for name, one in merged.changed.items() if name not in back}
    changed |= {name: (was[name], one.value) for name, one in back.items() if was[name] != one.value}
    outcome = RecordOutcome.APPLIED if changed else RecordOutcome.UNCHANGED if merged.outcome == RecordOutcome.APPLIED else merged.outcome
    return replace(merged, assertions={**merged.assertions, **back}, changed=changed, outcome=outcome, settled=False)


def instead(
    assertions: Mapping[str, Assertion], kept: Iterable[RecordRefusal], now: datetime, joined: datetime | None = None
) -> dict[str, Assertion]:
    """The refusals that stand instead of what is taken back, as new as both, by attribute. ``kept`` is of one authority."""
    found: dict[str, Assertion] = {}
    for one in sorted(kept, key=lambda one: (one.effective.latest, one.effective.earliest, one.record)):
        back = assertions.get(one.attribute)
        if back is None or back.value is not None or not one.refuses or _is_same_patient(one.record, back.evidence_id):
            continue
        when = times.newest(back.effective, one.effective)
        when = when if joined is None else times.newest(when, times.at(joined))
        found[one.attribute] = Assertion(one.value, when, now, one.evidence_id, one.path, one.version, mapping=one.mapping)
    return found


def standing(
    held: Mapping[str, SourceAssertions], kept: Sequence[RecordRefusal], now: datetime, others: Collection[str] = ()
) -> dict[str, SourceAssertions]:
    """What every authority asserts, with the refusals of records instead of what was taken back, or never stated.

    ``others``: authorities that may not have stated anything else.
    """
    found = dict(held)
    for one in kept:
        if one.authority not in found and one.authority not in others:
            continue  # its source was retired
        mine = found.get(one.authority) or SourceAssertions({}, one.effective, one.effective, "", now)
        nothing = Assertion(None, one.effective, now, "", one.path)
        said = {one.attribute: mine.current().get(one.attribute, nothing)}
        if back := instead(said, [refusal for refusal in kept if refusal.authority == one.authority], now):
            found[one.authority] = replace(mine, assertions={**mine.current(), **back}, effective=mine.confirmed)
    return found


def without_earlier(held: Mapping[str, SourceAssertions], kept: Iterable[RecordRefusal], since: datetime) -> dict[str, SourceAssertions]:
    """What every authority asserts, less the refusals of records that were stated before a moment, however long they stand."""
    earlier = {(one.authority, one.attribute, one.evidence_id) for one in kept if one.refuses and one.effective.latest < since}
    found = dict(held)
    for authority, one in held.items():
        stays = {name: said for name, said in one.assertions.items() if (authority, name, said.evidence_id) not in earlier}
        found[authority] = replace(one, assertions=stays)
    return found


def _is_kept(attribute: str) -> bool:
    """A death or a restriction is the patient's, and is of one record only."""
    return attribute not in FACTS


def _is_refused(attribute: str, assertions: Mapping[str, Assertion]) -> bool:
    said = assertions.get(attribute)
    return said is not None and refuses(attribute, said.value)


def _is_same_patient(record: str, evidence_id: str) -> bool:
    """What a Patient resource takes back it takes back of the person, also where two of them are one."""
    return record.startswith(PATIENT) and evidence_id.startswith(PATIENT)


def _refusal(patient: int, authority: str, name: str, origin: int, said: Assertion) -> RecordRefusal:
    stated = (said.value, said.path, said.effective, said.version, said.evidence_id, said.mapping)
    return RecordRefusal(patient, authority, refuser(said.evidence_id), name, origin, *stated)


def _evidence(item: PatientStatements) -> tuple[Time, int, str, str]:
    return item.effective, item.version, item.evidence_id, item.mapping


def _is_older(new: RecordRefusal, one: RecordRefusal, item: PatientStatements, *, replaces: bool) -> bool:
    """Whether what is kept of the record counts: it is newer, or refuses where nobody can tell."""
    if (item.evidence_id, item.version, item.effective) == (one.evidence_id, one.version, one.effective):
        return one.refuses and not (new.refuses or replaces or item.mapping != one.mapping)
    newer = is_newer(item, Assertion(one.value, one.effective, one.effective.latest, one.evidence_id, one.path, one.version))
    return newer is False or (newer is None and one.refuses and not new.refuses)


def _comes_late(attribute: str, item: PatientStatements, held: SourceAssertions | None) -> bool:
    """Whether a newer version of the record was read before, which never refused."""
    old = held.assertions.get(attribute) if held is not None else None
    return old is not None and refuser(old.evidence_id) == refuser(item.evidence_id) and is_newer(item, old) is False
