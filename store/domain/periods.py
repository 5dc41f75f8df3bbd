"""Statements whose period begins or ends later, and what is in force at a moment (product section 7). Pure.

A record with a period states what counts now, and, in ``PatientStatements.later``, what will count. The latter is kept beside the
assertions until it is due, and then merged like any statement, with the time of its payload: newer evidence still wins. So that nothing
permits outside its period and no refusal is lost:

* the end of a record takes back only what the same record stated;
* an earlier permission of a record ends if it now states something for later only; an earlier refusal remains until then;
* a refusal of another record of the source counts again when something ends (``store.domain.record_refusals``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from store import times
from store.domain import assertions, documents, effective, payload, record_refusals, records
from store.domain.assertions import SourceAssertions
from store.domain.contactability import permitting_changes
from store.domain.enterprise import Enterprise
from store.domain.ordering import is_newer
from store.domain.record_refusals import RecordRefusal
from store.preference import LISTS, Assertion, Codes, Later, PatientStatements, RecordOutcome, Statement, base, refuses
from store.times import Time


class FutureStatement(NamedTuple):
    """One statement that counts from ``due`` on, with the evidence it comes from. ``record`` is the resource, whatever its version."""

    patient_id: int
    authority: str
    record: str
    attribute: str
    due: datetime
    origin: int
    value: Any
    path: str
    effective: Time
    version: int
    evidence_id: str
    mapping: str

    @property
    def refuses(self) -> bool:
        """Whether it stops contact."""
        return refuses(self.attribute, self.value)

    @property
    def item(self) -> PatientStatements:
        """The statement as a payload of its own, with the time of the one it was in."""
        statements = {self.attribute: Statement(self.value, self.path)}
        return PatientStatements((), statements, self.effective, self.evidence_id, self.version, mapping=self.mapping)


def record(evidence_id: str) -> str:
    """The record that an evidence id names a version of."""
    return evidence_id.partition("/_history/")[0]


def after(kept: Sequence[FutureStatement], item: PatientStatements, patient: int, authority: str, origin: int) -> list[FutureStatement]:
    """The future statements of a patient after one more payload. The newest version of a record states all of its periods."""
    name = record(item.evidence_id)
    own = [one for one in kept if (one.authority, one.record) == (authority, name)]
    others = [one for one in kept if (one.authority, one.record) != (authority, name)]
    evidence = (item.effective, item.version, item.evidence_id, item.mapping)
    new = [
        FutureStatement(patient, authority, name, one.attribute, one.due, origin, one.value, one.path, *evidence)
        for one in item.later
        if counts(one, item)
    ]
    newer = _is_newer(item, own[0]) if own else True
    own = {True: new, False: own, None: [one for one in (*own, *new) if one.refuses]}[newer]
    others = [one for one in others if one.authority != authority or not _is_replaced(one, item)]
    return [*others, *own]


def counts(later: Later, item: PatientStatements) -> bool:
    """Whether a future statement counts: a restricted record takes nothing back (product rule 5.6)."""
    return not item.restricted or later.value not in (None, ())


def _is_replaced(one: FutureStatement, item: PatientStatements) -> bool:
    """Whether a future list is outdated, because the whole list was stated again since."""
    return base(one.attribute) in LISTS and one.attribute in item.statements and item.effective.is_after(one.effective)


def _is_newer(item: PatientStatements, one: FutureStatement) -> bool | None:
    if item.evidence_id == one.evidence_id and item.effective == one.effective:
        return True  # the same, read again
    return is_newer(item, Assertion(one.value, one.effective, one.due, one.evidence_id, one.path, one.version))


def until_then(asserted: SourceAssertions | None, item: PatientStatements) -> PatientStatements:
    """A payload that takes back what an earlier version of its record permitted, if it now states something for later only."""
    if asserted is None:
        return item
    names = dict.fromkeys(one.attribute for one in item.later if one.attribute not in item.statements and counts(one, item))
    back = {name: Statement(None, _path(item, name)) for name in names if _permitted(name, asserted.assertions.get(name), item)}
    return replace(item, statements={**item.statements, **back}) if back else item


def _path(item: PatientStatements, attribute: str) -> str:
    return next(one.path for one in item.later if one.attribute == attribute)


def _permitted(attribute: str, old: Assertion | None, item: PatientStatements) -> bool:
    """Whether an earlier version of the record stated something else than a refusal."""
    if old is None or old.value is None or refuses(attribute, old.value):
        return False
    return record(old.evidence_id) == record(item.evidence_id)


def due_item(one: FutureStatement, asserted: SourceAssertions | None) -> PatientStatements:
    """A due statement as a payload of its authority; without the statement if it has no effect.

    An end takes back only what its own record stated. If the authority asserts nothing, only a refusal counts.
    """
    old = asserted.assertions.get(one.attribute) if asserted is not None else None
    is_own = old is not None and record(old.evidence_id) == one.record
    counts = one.refuses if asserted is None else is_own or one.value is not None
    return one.item if counts else replace(one.item, statements={})


def due_codes(asserted: SourceAssertions | None, one: FutureStatement) -> dict[str, Codes]:
    """An entry among the attribute's kept codes that no rule reads, so that the due statement counts when the others are read again."""
    is_kept = asserted is not None and asserted.codes is not None and one.attribute in documents.read_codes(asserted.codes)[1]
    return {one.attribute: Codes(one.record, ((None, one.path),))} if is_kept else {}


def merged(
    asserted: SourceAssertions | None, item: PatientStatements, now: datetime, joined: datetime | None = None, *, doubtful: bool = False
) -> assertions.Merged:
    """Merges a due payload. Within one version of a record, what begins or ends replaces what was before.

    That also holds if the former assertion got a later time by a merge, or in place of what another record took back.
    """
    own = [name for name in item.statements if _is_own_version(name, item, asserted)]
    rest = replace(item, statements={name: one for name, one in item.statements.items() if name not in own}) if own else item
    found = assertions.merge(asserted, rest, now, doubtful=doubtful, joined=joined)
    for name in own:
        found = _replaced(found, name, item, now, joined)
    return found


def _is_own_version(attribute: str, item: PatientStatements, asserted: SourceAssertions | None) -> bool:
    """Whether the assertion is of the same version of the record, and not older than the payload."""
    old = asserted.current().get(attribute) if asserted is not None else None
    if old is None or record(old.evidence_id) != record(item.evidence_id) or old.version != item.version:
        return False
    return is_newer(item, old) is not True


def _replaced(
    found: assertions.Merged, attribute: str, item: PatientStatements, now: datetime, joined: datetime | None
) -> assertions.Merged:
    old, statement = found.assertions[attribute], item.statements[attribute]
    when = times.newest(old.effective, item.effective)
    when = times.newest(when, times.at(joined)) if joined is not None and refuses(attribute, statement.value) else when
    new = Assertion(statement.value, when, now, item.evidence_id, statement.path, item.version, mapping=item.mapping)
    changed = {**found.changed, attribute: (old.value, new.value)} if old.value != new.value else found.changed
    outcome = RecordOutcome.APPLIED if changed else found.outcome
    return replace(found, assertions={**found.assertions, attribute: new}, changed=changed, outcome=outcome)


def in_order(future: Iterable[FutureStatement], until: datetime) -> list[FutureStatement]:
    """The statements due by then, earliest first; at one moment ends come before beginnings."""
    return sorted((one for one in future if one.due <= until), key=lambda one: (one.due, one.value is not None, one.refuses))


def fallen(
    asserted: SourceAssertions | None,
    kept: Sequence[RecordRefusal],
    one: FutureStatement,
    item: PatientStatements,
    now: datetime,
    joined: datetime | None,
) -> tuple[assertions.Merged, list[RecordRefusal]]:
    """The assertions of an authority, and the refusals of its records, when ``one`` is due. ``item`` is its effective part."""
    refusals = record_refusals.after(kept, one.item, asserted, one.patient_id, one.authority, one.origin, replaces=True)
    own = [refusal for refusal in refusals if refusal.authority == one.authority]
    return record_refusals.restored(_ended(asserted, one, item, now, joined), item, asserted, own, now, joined), refusals


def _ended(
    asserted: SourceAssertions | None, one: FutureStatement, item: PatientStatements, now: datetime, joined: datetime | None
) -> assertions.Merged:
    """When a record ends, a refusal stated without a record, or by another one, counts again."""
    if asserted is not None and one.value is None and item.statements:
        decided = records.decided(asserted, replace(item, codes=due_codes(asserted, one)), now, joined)
        if one.attribute in decided and refuses(one.attribute, decided[one.attribute].value):
            return assertions.merge(asserted, item, now, joined=joined, decided=decided)
    return merged(asserted, item, now, joined)


def held_at(
    by_authority: Mapping[str, SourceAssertions],
    future: Iterable[FutureStatement],
    kept: Sequence[RecordRefusal],
    enterprise: Enterprise,
    at: datetime,
    now: datetime,
    joined: datetime | None = None,
) -> dict[str, SourceAssertions]:
    """The assertions of every authority at a moment now or in the future. ``kept``: the refusals of records.

    A change due by ``now`` that permits contact waits until it is written, because the safeguard looks at it then.
    """
    asserted = dict(by_authority)
    for one in in_order(future, at):
        before = asserted.get(one.authority)
        item = due_item(one, before)
        if before is None and not item.statements:
            continue
        found, refused = fallen(before, kept, one, item, one.due, joined)
        begun = before or SourceAssertions({}, one.effective, one.effective, "", one.due)
        codes = payload.codes(before, replace(one.item, codes=due_codes(before, one)), one.due, begun.unreadable)
        changed = replace(begun, assertions=found.assertions, effective=found.confirmed, confirmed=found.confirmed, codes=codes)
        then = {**asserted, one.authority: changed}
        if one.due > now or not permitting_changes(_in_force(asserted, enterprise), _in_force(then, enterprise), found.changed):
            asserted, kept = then, refused
    return asserted


def _in_force(asserted: Mapping[str, SourceAssertions], enterprise: Enterprise) -> dict[str, Any]:
    return dict(effective.in_force({name: one.current() for name, one in asserted.items()}, enterprise))
