"""What one authority asserts: merges its payloads and its records (product section 5). Pure.

The newer statement counts, attribute by attribute. ``store.domain.ordering`` decides which that is, and which one counts when nobody can
tell. What is in force for the patient follows from the assertions of all authorities (``store.domain.effective``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from store import times
from store.domain import duplicates, ordering, unreadable
from store.domain.contactability import more_restrictive
from store.domain.ordering import Order, stated
from store.domain.unreadable import Marks
from store.preference import (
    Assertion,
    PatientStatements,
    Statement,
    refuses,
)
from store.times import Time

BY_MERGE = "merge"
"""The path of a local Do Not Contact that was in force when its record was merged (``store.domain.local_dnc``)."""

INHERITED = "released:"
"""The start of the path of an assertion that staff inherited from a retired source (``store.domain.retirement``)."""

Evidence = tuple[Time, str, int]
"""The time, evidence id and version of an assertion."""

_new = tuple.__new__  # each payload makes about ten assertions; this takes half as long as calling the class


@dataclass(frozen=True, slots=True)
class SourceAssertions:
    """What one authority asserts about one patient.

    ``effective``: the time of the last payload that changed it; ``confirmed``: the last time it was stated again. ``seen``: the line of
    ``store.domain.duplicates``. ``codes``: those of ``store.domain.source_codes`` as text. ``since``: when the authority first stated
    something.
    """

    assertions: Mapping[str, Assertion]
    effective: Time
    confirmed: Time
    seen: str
    since: datetime
    unreadable: Marks = field(default_factory=dict)
    codes: str | None = None

    def current(self) -> dict[str, Assertion]:
        """The assertions, those of the last payload with the time it was confirmed."""
        effective, confirmed = self.effective, self.confirmed
        if confirmed == effective:
            return dict(self.assertions)
        return {
            attribute: _new(Assertion, (one[0], confirmed, *one[2:])) if one.effective == effective else one
            for attribute, one in self.assertions.items()
        }


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge. ``changed``: attribute -> (before, after). ``settled``: the assertions are exactly those of the payload.

    ``undecided``: the number of attributes for which nobody can tell whether the payload is newer.
    """

    assertions: Mapping[str, Assertion]
    changed: Mapping[str, tuple[Any, Any]]
    outcome: str
    settled: bool
    confirmed: Time
    undecided: int = 0


def merge(
    asserted: SourceAssertions | None,
    item: PatientStatements,
    recorded: datetime,
    *,
    doubtful: bool = False,
    joined: datetime | None = None,
    decided: Mapping[str, Assertion] = MappingProxyType({}),
    before: Mapping[str, Assertion] | None = None,
) -> Merged:
    """Merges a payload into the assertions of its authority. ``recorded`` is the time of receipt.

    Callers filter out repeats. ``doubtful``: the payload does not count as received later, except beside assertions
    with its own evidence id, whose record was changed without a new version or time. ``joined``: the patient's last merge; see
    :func:`_is_late_refusal_of_other_record`. ``decided``: assertions that win whatever is newer (``store.domain.records``).
    ``before``: the current assertions of the authority, if the caller has them already.
    """
    if asserted is None:
        return _first(item, recorded, joined)
    assertions = asserted.current() if before is None else dict(before)
    received_later = not item.effective.is_before(asserted.confirmed)
    changed: dict[str, tuple[Any, Any]] = {}
    late, undecided = False, 0
    known: Evidence | None = None
    for attribute, statement in stated(item).items():
        old, new = assertions.get(attribute), _asserted(attribute, statement, item, recorded, joined)
        if old is None or attribute in decided:
            current, is_undecided = decided.get(attribute, new), False
        else:
            evidence = old.effective, old.evidence_id, old.version
            if evidence != known:  # most assertions of a patient come from one payload
                known, order = evidence, ordering.order(item, old)
            is_later = received_later and (not doubtful or item.evidence_id == old.evidence_id)
            current, is_undecided = _winner(attribute, item, old, new, order, received_later=is_later, joined=joined)
        former = old.value if old is not None else None
        if former != current.value:
            changed[attribute] = (former, current.value)
        late = late or current.value != new.value or (current is old and item.effective.is_before(current.effective))
        undecided += is_undecided
        assertions[attribute] = current
    newest = times.newest(asserted.confirmed, item.effective)
    outcome = "applied" if changed else "stale" if late else "unchanged"
    settled = not late and not decided and _are_exactly(assertions, item, newest)
    return Merged(assertions, changed, outcome, settled, newest, undecided)


def _asserted(attribute: str, statement: Statement, item: PatientStatements, recorded: datetime, joined: datetime | None) -> Assertion:
    """The assertion that a statement makes if there was none before."""
    when = item.effective if joined is None else _anchor(attribute, statement, item, joined)
    fields = statement.value, when, recorded, item.evidence_id, statement.path, item.version, False, item.mapping, item.content
    return _new(Assertion, fields)


def _winner(
    attribute: str,
    item: PatientStatements,
    old: Assertion,
    new: Assertion,
    order: Order,
    *,
    received_later: bool,
    joined: datetime | None,
) -> tuple[Assertion, bool]:
    """Which of two assertions counts, and whether nobody can tell which is newer.

    If nobody can, a refusal keeps its time, so that anything later ends it; any other value takes the newest time.
    """
    newer = order.newer
    if new.value == old.value and newer is not False:
        return _confirmed(old, item, new, order), False
    is_undecided = newer is None and not _is_read_again(attribute, item, old)
    if is_undecided:
        newer = ordering.wins(attribute, new.value, old.value, received_later=received_later)
    is_kept_refusal = joined is not None and _is_late_refusal_of_other_record(attribute, new.value, item, old, joined)
    winner, other = (new, old) if newer is not False or is_kept_refusal else (old, new)
    if not is_undecided:
        return winner, False
    when = winner.effective if refuses(attribute, winner.value) else times.newest(winner.effective, other.effective)
    return winner._replace(undecided=True, effective=when), True


def _first(item: PatientStatements, recorded: datetime, joined: datetime | None) -> Merged:
    """The result of the first payload of an authority about a patient."""
    statements = stated(item)
    assertions = {name: _asserted(name, one, item, recorded, joined) for name, one in statements.items()}
    changed = {name: (None, one[0]) for name, one in statements.items() if one[0] is not None}
    settled = joined is None or _are_exactly(assertions, item, item.effective)
    return Merged(assertions, changed, "applied", settled=settled, confirmed=item.effective)


def _is_read_again(attribute: str, item: PatientStatements, old: Assertion) -> bool:
    """Whether it is the payload of the assertion itself, read by another mapping (product rule 5.8).

    This way, only identical content can end a refusal: HL7 senders may use one control id for several messages.
    """
    is_same = not refuses(attribute, old.value) or item.content == old.content
    return is_same and item.evidence_id == old.evidence_id and item.mapping != old.mapping


def _confirmed(old: Assertion, item: PatientStatements, new: Assertion, order: Order) -> Assertion:
    """An assertion whose value is stated again: it keeps the evidence that first stated it, with the newer time.

    Two records end independently, so the newer one becomes the evidence. The version of one says nothing about the other.
    """
    when = new.effective
    if order.records:
        return new._replace(recorded=old.recorded) if when.is_after(old.effective) else old
    newest = order.newest if when is item.effective else times.newest(old.effective, when)
    version = old.version if order.resources else max(old.version, item.version)
    undecided = old.undecided and not when.is_after(old.effective)
    return _new(Assertion, (old.value, newest, old.recorded, old.evidence_id, old.path, version, undecided, item.mapping, old.content))


def _are_exactly(assertions: Mapping[str, Assertion], item: PatientStatements, newest: Time) -> bool:
    """Whether the newest assertions are exactly those of the payload, so that the same content can confirm them later."""
    if item.effective != newest:
        return False
    return {name for name, one in assertions.items() if one.effective == newest and not one.undecided} == stated(item).keys()


def _is_late_refusal_of_other_record(attribute: str, value: Any, item: PatientStatements, old: Assertion, joined: datetime) -> bool:
    """Whether it is a refusal from before a merge that arrives after it, and only a statement about the other record is newer.

    In time, it would have survived the merge (product rule 5.7). What was stated since the merge is about both, and counts.
    """
    from_before = not item.effective.is_after(times.at(joined)) and not old.effective.is_after(times.at(joined))
    return from_before and refuses(attribute, value) and more_restrictive(attribute, value, old.value)


def _anchor(attribute: str, statement: Statement, item: PatientStatements, joined: datetime) -> Time:
    """The time of a statement. A refusal from before a merge holds until something is stated after the merge."""
    if not refuses(attribute, statement.value):
        return item.effective
    return times.newest(item.effective, times.at(joined))


def join(first: SourceAssertions, second: SourceAssertions) -> SourceAssertions:
    """The assertions of one authority about two merged records (product rule 5.7): the newer statement, and any refusal of either.

    A refusal kept over a newer permission takes the newer time, so that no repeated message ends it.
    """
    one, other = first.current(), second.current()
    both = {name: _joined_assertion(name, one[name], other[name]) for name in one.keys() & other.keys()}
    assertions = one | other | both
    newest = times.newest(first.confirmed, second.confirmed)
    marks = unreadable.joined(first.unreadable, second.unreadable)
    return SourceAssertions(assertions, newest, newest, duplicates.joined(first.seen, second.seen), min(first.since, second.since), marks)


def anchored(asserted: SourceAssertions, merged_at: datetime) -> SourceAssertions:
    """The assertions of a record that was just merged: its refusals hold against late evidence from before the merge."""
    assertions = {
        name: one._replace(effective=times.newest(one.effective, times.at(merged_at))) if refuses(name, one.value) else one
        for name, one in asserted.current().items()
    }
    marks = unreadable.anchored(asserted.unreadable, merged_at)
    return replace(asserted, assertions=assertions, effective=asserted.confirmed, unreadable=marks)


def _joined_assertion(attribute: str, first: Assertion, second: Assertion) -> Assertion:
    newer, older = (second, first) if _is_newer_than(attribute, second, first) else (first, second)
    if refuses(attribute, older.value) and more_restrictive(attribute, older.value, newer.value):
        return older._replace(effective=times.newest(newer.effective, older.effective), version=newer.version)
    if refuses(attribute, older.value) and refuses(attribute, newer.value):  # either may have been stated last
        return newer._replace(effective=times.newest(newer.effective, older.effective))
    return newer


def _is_newer_than(attribute: str, one: Assertion, other: Assertion) -> bool:
    newer = one.effective.is_newer(other.effective)
    return ordering.wins(attribute, one.value, other.value, received_later=one.recorded > other.recorded) if newer is None else newer
