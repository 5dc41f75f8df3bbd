"""Which assertion wins (product section 5). Pure: what stands + what came in -> what stands now, and what is in force.

Within one authority the newer effective time wins, attribute by attribute. Equal times fall to the higher version, then to
the later receipt; one that ties with a time that has passed, or may be a repeat, can only restrict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from store import seen, unreadable
from store.brake.loosening import loosened
from store.contact import contact as contact
from store.enterprise import Enterprise
from store.preference import (
    CONSENT,
    DECEASED,
    DENIED,
    DO_NOT_CONTACT,
    EMAIL,
    EMR,
    GRANTED,
    NEEDS_SYNC,
    NO,
    PHONES,
    PREFERRED_METHOD,
    RESTRICTED,
    STAFF,
    TOPIC,
    YES,
    Assertion,
    Method,
    PatientStatements,
    Preference,
    Statement,
    base,
)
from store.unreadable import Marks

BY_MERGE = "merge"
"""The path of a local Do Not Contact that was in force when its record became one with another (``store.merging.yielding``)."""

INHERITED = "released:"
"""Where the path of an assertion begins that staff has from a source that was retired (``store.retiring.inheritance``)."""

SEVERITY: dict[Any, int] = {YES: 2, NO: 0, DENIED: 2, GRANTED: 0, None: 1}


@dataclass(frozen=True, slots=True)
class Held:
    """What one authority has said about one patient so far. ``seen`` is the line of ``store.seen``."""

    assertions: Mapping[str, Assertion]
    effective: datetime
    confirmed: datetime
    seen: str
    since: datetime
    unreadable: Marks = field(default_factory=dict)

    def current(self) -> dict[str, Assertion]:
        """The assertions, those of the last payload at the newest time at which it was stated again."""
        if self.confirmed == self.effective:
            return dict(self.assertions)
        return {
            attribute: assertion._replace(effective=self.confirmed) if assertion.effective == self.effective else assertion
            for attribute, assertion in self.assertions.items()
        }


@dataclass(frozen=True, slots=True)
class Merged:
    """``changed`` maps attribute -> (before, after) values. ``settled``: the payload stands as a whole, alone."""

    assertions: Mapping[str, Assertion]
    changed: Mapping[str, tuple[Any, Any]]
    outcome: str
    settled: bool
    confirmed: datetime


def merge(
    held: Held | None, item: PatientStatements, recorded: datetime, *, doubtful: bool = False, joined: datetime | None = None
) -> Merged:
    """One payload's statements onto what its authority said before. ``recorded`` is the time of receipt.

    A payload that was seen before is not handed in: it changes nothing. ``doubtful``: it may be a repeat (``store.seen``).
    ``joined``: when the patient last became one with another record; see :func:`_of_the_other_record`.
    """
    if held is None:
        return _first(item, recorded, joined)
    assertions = held.current()
    newest = max(held.confirmed, item.effective)
    changed: dict[str, tuple[Any, Any]] = {}
    late = False
    effective, version, evidence_id = item.effective, item.version, item.evidence_id
    for attribute, statement in stated(item).items():
        value, path = statement
        old = assertions.get(attribute)
        if old is not None and effective <= old.effective and not _supersedes(attribute, statement, item, old, held, doubtful=doubtful):
            late = late or old.value != value or old.effective > effective
            if joined is None or not _of_the_other_record(attribute, statement, item, old, joined):
                continue
        when = _anchor(attribute, statement, item, joined) if joined is not None else effective
        before = old.value if old is not None else None
        if before != value:
            changed[attribute] = (before, value)
        elif old is not None:  # said again: the value keeps the evidence that first gave it, at the newer time
            assertions[attribute] = Assertion(old.value, when, old.recorded, old.evidence_id, old.path, version)
            continue
        assertions[attribute] = Assertion(value, when, recorded, evidence_id, path, version)
    outcome = "applied" if changed else "stale" if late else "unchanged"
    settled = not late and _is_all_there_is(assertions, item, newest)
    return Merged(assertions, changed, outcome, settled, newest)


def _first(item: PatientStatements, recorded: datetime, joined: datetime | None) -> Merged:
    """The first that an authority says about a patient."""
    evidence_id, version, said = item.evidence_id, item.version, stated(item)
    times = {name: _anchor(name, one, item, joined) for name, one in said.items()} if joined else dict.fromkeys(said, item.effective)
    assertions = {name: Assertion(one[0], times[name], recorded, evidence_id, one[1], version) for name, one in said.items()}
    changed = {name: (None, one[0]) for name, one in said.items() if one[0] is not None}
    settled = joined is None or _is_all_there_is(assertions, item, item.effective)
    return Merged(assertions, changed, "applied", settled=settled, confirmed=item.effective)


def _is_all_there_is(assertions: Mapping[str, Assertion], item: PatientStatements, newest: datetime) -> bool:
    """Whether the payload is the whole of what its authority said last, so that the same content may confirm it later."""
    said, now = stated(item), {name for name, one in assertions.items() if one.effective == newest}
    return item.effective == newest and now == set(said)


def stated(item: PatientStatements) -> Mapping[str, Statement]:
    """The statements that count: whatever a restricted record leaves out or deletes is no statement (rule 5.6).

    So it is for a record of which nobody can tell whether it is restricted.
    """
    if not item.restricted and all(one.attribute != RESTRICTED for one in item.problems):
        return item.statements
    return {name: one for name, one in item.statements.items() if one.value is not None and one.value != ()}


def _supersedes(attribute: str, statement: Statement, item: PatientStatements, old: Assertion, held: Held, *, doubtful: bool) -> bool:
    if item.effective != old.effective:
        return item.effective > old.effective
    if _of_two_resources(item.evidence_id, old.evidence_id):  # versions order copies of one resource only (rule 5.1)
        return more_restrictive(attribute, statement.value, old.value)
    if item.version != old.version:
        return item.version > old.version
    if item.evidence_id == old.evidence_id:
        return True  # the same payload, mapped anew
    if item.effective >= held.confirmed and not doubtful:
        return True  # the later receipt
    return more_restrictive(attribute, statement.value, old.value)


def _of_two_resources(one: str, other: str) -> bool:
    """Whether two evidence ids name versions of different FHIR resources."""
    (mine, dated, _), (theirs, dated_too, _) = one.partition("/_history/"), other.partition("/_history/")
    return bool(dated and dated_too) and mine != theirs


def _of_the_other_record(attribute: str, statement: Statement, item: PatientStatements, old: Assertion, joined: datetime) -> bool:
    """Whether it is an opt-out from before a merge that arrives after it, late only beside what the other record said.

    Had it come in time, it would have survived the merge (rule 7). What was stated since the merge is about both, and stands.
    """
    from_before = item.effective < joined and old.effective < joined
    return from_before and _forbids(attribute, statement.value) and more_restrictive(attribute, statement.value, old.value)


def _anchor(attribute: str, statement: Statement, item: PatientStatements, joined: datetime | None) -> datetime:
    """An opt-out from before a merge holds until something is said after it."""
    return max(item.effective, joined) if joined is not None and _forbids(attribute, statement.value) else item.effective


def more_restrictive(attribute: str, value: Any, than: Any) -> bool:
    """Whether a value allows less than another. Always false for attributes that permit nothing (phones, language)."""
    if attribute == PREFERRED_METHOD:
        return bool(value == Method.NONE and than != Method.NONE)
    if attribute == DO_NOT_CONTACT or attribute.startswith((CONSENT, TOPIC)):
        return SEVERITY[value] > SEVERITY[than]
    return False


def _forbids(attribute: str, value: Any) -> bool:
    """Whether it is an opt-out. A clear allows less than a permission, and forbids nothing."""
    return more_restrictive(attribute, value, None)


def join(first: Held, second: Held) -> Held:
    """What one authority said of two records that are one person (rule 7): the newer statement, and any opt-out of either.

    An opt-out that is kept over a newer permission takes the newer time, so that no repeated message undoes it.
    """
    mine, theirs = first.current(), second.current()
    both = {name: _joined_assertion(name, mine[name], theirs[name]) for name in mine.keys() & theirs.keys()}
    assertions = mine | theirs | both
    newest = max(first.confirmed, second.confirmed)
    marks = unreadable.joined(first.unreadable, second.unreadable)
    return Held(assertions, newest, newest, seen.joined(first.seen, second.seen), min(first.since, second.since), marks)


def anchored(held: Held, merged_at: datetime) -> Held:
    """Opt-outs of a record that was just merged hold against all that either record said before that moment and that arrives late."""
    assertions = {
        name: one._replace(effective=merged_at) if one.effective < merged_at and _forbids(name, one.value) else one
        for name, one in held.current().items()
    }
    return replace(held, assertions=assertions, effective=held.confirmed)


def _joined_assertion(attribute: str, mine: Assertion, theirs: Assertion) -> Assertion:
    newer, older = (mine, theirs) if mine.effective >= theirs.effective else (theirs, mine)
    if _forbids(attribute, older.value) and more_restrictive(attribute, older.value, newer.value):
        return older._replace(effective=newer.effective, version=newer.version)
    return newer


def in_force(by_authority: Mapping[str, Mapping[str, Assertion]], enterprise: Enterprise) -> dict[str, Preference]:
    """The effective preferences: attribute (slots joined) -> value and where it comes from. Unknown ones are left out."""
    found = _under_rules(by_authority, enterprise)
    if enterprise.waiting is None:
        return found
    other = _under_rules(by_authority, enterprise.waiting)  # held by the brake: its refusals count, nothing that it would allow does
    return found | {name: other[name] for name in loosened(other, found, other) if name != PHONES}


def unread(held: Mapping[str, Held], enterprise: Enterprise) -> tuple[str, ...]:
    """The attributes of which newer evidence could not be read, as far as they count in the enterprise."""
    return unreadable.in_force(((authority, one.unreadable) for authority, one in held.items()), enterprise)


def _under_rules(by_authority: Mapping[str, Mapping[str, Assertion]], enterprise: Enterprise) -> dict[str, Preference]:
    """The same by one configuration."""
    speakers = _speakers(by_authority, enterprise)
    result: dict[str, Preference] = {}
    for authority, assertions in speakers:
        emr_has_effect = enterprise.syncs or not authority.startswith(EMR)
        for attribute, assertion in sorted(assertions.items()):  # so that slots join in the same order whichever was heard first
            value = assertion.value
            if value is None or not (emr_has_effect or not attribute.startswith(NEEDS_SYNC)):
                continue
            candidate = Preference(value, authority, assertion)
            if attribute not in result and "#" not in attribute:
                result[attribute] = candidate  # the usual case: nothing to join with
            else:
                _join(result, attribute, candidate)
    if enterprise.syncs:
        _local_dnc_yields(result, speakers)
    return result


def _speakers(by_authority: Mapping[str, Mapping[str, Assertion]], enterprise: Enterprise) -> list[tuple[str, Mapping[str, Assertion]]]:
    """Authorities in order of precedence: configured sources, sources no longer configured, then people."""
    if len(by_authority) == 1:
        return list(by_authority.items())
    order = {authority: place for place, authority in enumerate(enterprise.precedence)}
    return sorted(by_authority.items(), key=lambda one: (order.get(one[0], len(order) + (not one[0].startswith(EMR))), one[0]))


def _join(result: dict[str, Preference], attribute: str, candidate: Preference) -> None:
    name = base(attribute) if attribute.startswith((PHONES, EMAIL)) else attribute
    standing = result.get(name)
    if standing is None:
        result[name] = candidate
    elif name in (PHONES, EMAIL):
        if standing.authority == candidate.authority:
            result[name] = standing._replace(value=_joined(standing.value, candidate.value))
    elif attribute in (DECEASED, RESTRICTED):
        if candidate.value and not standing.value:
            result[name] = candidate
    elif attribute != PREFERRED_METHOD and more_restrictive(attribute, candidate.value, standing.value):
        result[name] = candidate


def _joined(first: Iterable[Any], second: Iterable[Any]) -> tuple[Any, ...]:
    """Two slots of one list. The same number or address in both is kept once, as the first has it."""
    kept = {one[0] if isinstance(one, tuple) else one: one for one in first}
    for one in second:
        kept.setdefault(one[0] if isinstance(one, tuple) else one, one)
    return tuple(kept.values())


def _local_dnc_yields(result: dict[str, Preference], speakers: list[tuple[str, Mapping[str, Assertion]]]) -> None:
    """A local Do Not Contact from before sync stays in force until an EMR has stated its own (product section 4)."""
    standing = result.get(DO_NOT_CONTACT)
    if standing is None or standing.authority != STAFF or (standing.value, standing.assertion.path) == (YES, BY_MERGE):
        return
    for authority, assertions in speakers:
        said = assertions.get(DO_NOT_CONTACT)
        if authority.startswith(EMR) and said is not None and said.value is not None and not _outlasts(standing.assertion, said):
            result[DO_NOT_CONTACT] = Preference(said.value, authority, said)
            return


def _outlasts(standing: Assertion, said: Assertion) -> bool:
    """Whether a refusal kept from a retired source stands against what another source had said before."""
    return standing.value == YES and standing.path.startswith(INHERITED) and said.recorded <= standing.recorded
