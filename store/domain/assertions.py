"""Which assertion wins (product section 5). Pure: what stands + what came in -> what stands now, and what is in force.

Within one authority the newer statement counts, attribute by attribute; ``store.domain.ordering`` says which that is, and which counts
where nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from store import times
from store.domain import duplicates, ordering, unreadable
from store.domain.attributes import entry
from store.domain.contactability import is_refusable, more_restrictive, permitting_changes
from store.domain.effective import contact as contact
from store.domain.enterprise import Enterprise
from store.domain.ordering import is_newer, stated
from store.domain.phone_numbers import for_contact
from store.domain.unreadable import Marks
from store.preference import (
    DO_NOT_CONTACT,
    EMR,
    LISTS,
    PHONES,
    STAFF,
    YES,
    Assertion,
    PatientStatements,
    Preference,
    Statement,
    base,
    refuses,
)
from store.times import Time

BY_MERGE = "merge"
"""The path of a local Do Not Contact that was in force when its record became one with another (``store.domain.local_dnc``)."""

INHERITED = "released:"
"""Where the path of an assertion begins that staff has from a source that was retired (``store.domain.retirement``)."""


@dataclass(frozen=True, slots=True)
class SourceAssertions:
    """What one authority has said about one patient so far. ``seen`` is the line of ``store.domain.duplicates``, ``codes`` those of
    ``store.domain.source_codes`` as text.
    """

    assertions: Mapping[str, Assertion]
    effective: Time
    confirmed: Time
    seen: str
    since: datetime
    unreadable: Marks = field(default_factory=dict)
    codes: str | None = None

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
    """``changed`` maps attribute -> (before, after) values. ``settled``: the payload stands as a whole, alone.

    ``undecided``: for how many attributes nobody could tell whether the payload is newer.
    """

    assertions: Mapping[str, Assertion]
    changed: Mapping[str, tuple[Any, Any]]
    outcome: str
    settled: bool
    confirmed: Time
    undecided: int = 0


def merge(
    held: SourceAssertions | None,
    item: PatientStatements,
    recorded: datetime,
    *,
    doubtful: bool = False,
    joined: datetime | None = None,
    decided: Mapping[str, Assertion] = MappingProxyType({}),
) -> Merged:
    """One payload's statements onto what its authority said before. ``recorded`` is the time of receipt.

    A payload that was seen before is not handed in: it changes nothing. ``doubtful``: its receipt does not make it the later one, but for
    what stands under its own evidence id: then the record was changed without a new version or time. ``joined``: when the patient last
    became one with another record; see :func:`_of_the_other_record`. ``decided``: what stands of some attributes, whatever is newer
    (``store.domain.records``).
    """
    if held is None:
        return _first(item, recorded, joined)
    assertions = held.current()
    received_later = not item.effective.is_before(held.confirmed)
    changed: dict[str, tuple[Any, Any]] = {}
    late, undecided = False, 0
    for attribute, statement in stated(item).items():
        old, new = assertions.get(attribute), _asserted(attribute, statement, item, recorded, joined)
        if old is None or attribute in decided:
            now, is_open = decided.get(attribute, new), False
        else:
            is_later = received_later and (not doubtful or item.evidence_id == old.evidence_id)
            now, is_open = _stands(attribute, item, old, new, received_later=is_later, joined=joined)
        before = old.value if old is not None else None
        if before != now.value:
            changed[attribute] = (before, now.value)
        late = late or now.value != new.value or (now is old and item.effective.is_before(now.effective))
        undecided += is_open
        assertions[attribute] = now
    newest = times.newest(held.confirmed, item.effective)
    outcome = "applied" if changed else "stale" if late else "unchanged"
    settled = not late and not decided and _is_all_there_is(assertions, item, newest)
    return Merged(assertions, changed, outcome, settled, newest, undecided)


def _asserted(attribute: str, statement: Statement, item: PatientStatements, recorded: datetime, joined: datetime | None) -> Assertion:
    """A statement as it stands where nothing stood before."""
    when = _anchor(attribute, statement, item, joined)
    return Assertion(statement.value, when, recorded, item.evidence_id, statement.path, item.version, mapping=item.mapping)


def _stands(
    attribute: str, item: PatientStatements, old: Assertion, new: Assertion, *, received_later: bool, joined: datetime | None
) -> tuple[Assertion, bool]:
    """Which of two assertions stands, and whether nobody could tell which is newer.

    Then a refusal ends by what is later than it alone, and anything else counts as the newest that was stated.
    """
    newer = is_newer(item, old)
    if new.value == old.value and newer is not False:
        return _again(old, item, new), False
    is_open = newer is None and not _is_read_again(item, old)
    if is_open:
        newer = ordering.wins(attribute, new.value, old.value, received_later=received_later)
    taken = newer is not False or (joined is not None and _of_the_other_record(attribute, new.value, item, old, joined))
    stands, other = (new, old) if taken else (old, new)
    if not is_open:
        return stands, False
    when = stands.effective if refuses(attribute, stands.value) else times.newest(stands.effective, other.effective)
    return stands._replace(undecided=True, effective=when), True


def _first(item: PatientStatements, recorded: datetime, joined: datetime | None) -> Merged:
    """The first that an authority says about a patient."""
    said = stated(item)
    assertions = {name: _asserted(name, one, item, recorded, joined) for name, one in said.items()}
    changed = {name: (None, one[0]) for name, one in said.items() if one[0] is not None}
    settled = joined is None or _is_all_there_is(assertions, item, item.effective)
    return Merged(assertions, changed, "applied", settled=settled, confirmed=item.effective)


def _is_read_again(item: PatientStatements, old: Assertion) -> bool:
    """Whether it is the payload of the assertion itself, as another mapping reads it (product rule 5.8)."""
    return item.evidence_id == old.evidence_id and item.mapping != old.mapping


def _again(old: Assertion, item: PatientStatements, new: Assertion) -> Assertion:
    """The same value stated again: it keeps the evidence that first gave it, at the newer time.

    Of two records each has an end of its own, so the newer one is the evidence. The version of one says nothing about the other.
    """
    when = new.effective
    if ordering.of_two_records(old.evidence_id, item.evidence_id):
        return new._replace(recorded=old.recorded) if when.is_after(old.effective) else old
    newest = times.newest(old.effective, when)
    version = old.version if ordering.of_two_resources(old.evidence_id, item.evidence_id) else max(old.version, item.version)
    undecided = old.undecided and not when.is_after(old.effective)
    return Assertion(old.value, newest, old.recorded, old.evidence_id, old.path, version, undecided, item.mapping)


def _is_all_there_is(assertions: Mapping[str, Assertion], item: PatientStatements, newest: Time) -> bool:
    """Whether the payload is the whole of what its authority said last, so that the same content may confirm it later."""
    said, now = stated(item), {name for name, one in assertions.items() if one.effective == newest and not one.undecided}
    return item.effective == newest and now == set(said)


def _of_the_other_record(attribute: str, value: Any, item: PatientStatements, old: Assertion, joined: datetime) -> bool:
    """Whether it is an opt-out from before a merge that arrives after it, late only beside what the other record said.

    Had it come in time, it would have survived the merge (product rule 5.7). What was stated since the merge is about both, and stands.
    """
    from_before = not item.effective.is_after(times.at(joined)) and not old.effective.is_after(times.at(joined))
    return from_before and refuses(attribute, value) and more_restrictive(attribute, value, old.value)


def _anchor(attribute: str, statement: Statement, item: PatientStatements, joined: datetime | None) -> Time:
    """An opt-out from before a merge holds until something is said after it."""
    if joined is None or not refuses(attribute, statement.value):
        return item.effective
    return times.newest(item.effective, times.at(joined))


def join(first: SourceAssertions, second: SourceAssertions) -> SourceAssertions:
    """What one authority said of two records that are one person (product rule 5.7): the newer statement, and any opt-out of either.

    An opt-out that is kept over a newer permission takes the newer time, so that no repeated message undoes it.
    """
    mine, theirs = first.current(), second.current()
    both = {name: _joined_assertion(name, mine[name], theirs[name]) for name in mine.keys() & theirs.keys()}
    assertions = mine | theirs | both
    newest = times.newest(first.confirmed, second.confirmed)
    marks = unreadable.joined(first.unreadable, second.unreadable)
    return SourceAssertions(assertions, newest, newest, duplicates.joined(first.seen, second.seen), min(first.since, second.since), marks)


def anchored(held: SourceAssertions, merged_at: datetime) -> SourceAssertions:
    """Opt-outs of a record that was just merged hold against all that either record said before that moment and that arrives late."""
    assertions = {
        name: one._replace(effective=times.newest(one.effective, times.at(merged_at))) if refuses(name, one.value) else one
        for name, one in held.current().items()
    }
    marks = unreadable.anchored(held.unreadable, merged_at)
    return replace(held, assertions=assertions, effective=held.confirmed, unreadable=marks)


def _joined_assertion(attribute: str, mine: Assertion, theirs: Assertion) -> Assertion:
    newer, older = (theirs, mine) if _is_newer_than(attribute, theirs, mine) else (mine, theirs)
    if refuses(attribute, older.value) and more_restrictive(attribute, older.value, newer.value):
        return older._replace(effective=times.newest(newer.effective, older.effective), version=newer.version)
    if refuses(attribute, older.value) and refuses(attribute, newer.value):  # either may have been stated last
        return newer._replace(effective=times.newest(newer.effective, older.effective))
    return newer


def _is_newer_than(attribute: str, one: Assertion, other: Assertion) -> bool:
    newer = one.effective.is_newer(other.effective)
    return ordering.wins(attribute, one.value, other.value, received_later=one.recorded > other.recorded) if newer is None else newer


def in_force(by_authority: Mapping[str, Mapping[str, Assertion]], enterprise: Enterprise) -> dict[str, Preference]:
    """The effective preferences: attribute (slots joined) -> value and where it comes from. Unknown ones are left out."""
    found = _under_rules(by_authority, enterprise)
    if enterprise.held is None:
        return found
    other = _under_rules(by_authority, enterprise.held)  # held by the safeguard: its refusals count, nothing that it would allow does
    return found | {name: other[name] for name in permitting_changes(other, found, other) if name != PHONES}


def unread(held: Mapping[str, SourceAssertions], enterprise: Enterprise) -> tuple[str, ...]:
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
            if value is None or not (emr_has_effect or not entry(attribute).needs_sync):
                continue
            value = for_contact(value) if attribute.startswith(PHONES) else value
            candidate = Preference(value, authority, assertion)
            if attribute not in result and "#" not in attribute:
                result[attribute] = candidate  # the usual case: nothing to join with
            else:
                _join(result, attribute, candidate)
    if enterprise.syncs:
        _staff_yields(result, speakers)
    return result


def _speakers(by_authority: Mapping[str, Mapping[str, Assertion]], enterprise: Enterprise) -> list[tuple[str, Mapping[str, Assertion]]]:
    """Authorities in order of precedence: configured sources, sources no longer configured, then people."""
    if len(by_authority) == 1:
        return list(by_authority.items())
    order = {authority: place for place, authority in enumerate(enterprise.precedence)}
    return sorted(by_authority.items(), key=lambda one: (order.get(one[0], len(order) + (not one[0].startswith(EMR))), one[0]))


def _join(result: dict[str, Preference], attribute: str, candidate: Preference) -> None:
    name = base(attribute) if attribute.startswith(LISTS) else attribute
    standing = result.get(name)
    if standing is None:
        result[name] = candidate
    elif name in LISTS:
        if standing.authority == candidate.authority:
            result[name] = standing._replace(value=_joined(standing.value, candidate.value))
    elif is_refusable(attribute) and more_restrictive(attribute, candidate.value, standing.value):
        result[name] = candidate


def _joined(first: Iterable[Any], second: Iterable[Any]) -> tuple[Any, ...]:
    """Two slots of one list. The same number or address in both is kept once, as the first has it."""
    kept = {one[0] if isinstance(one, tuple) else one: one for one in first}
    for one in second:
        kept.setdefault(one[0] if isinstance(one, tuple) else one, one)
    return tuple(kept.values())


def yields(attribute: str, said: Assertion) -> bool:
    """Whether what staff says ends by an EMR's own later statement: a local Do Not Contact, and what is kept of a retired source."""
    return is_refusable(attribute) and (attribute == DO_NOT_CONTACT or said.path.startswith(INHERITED))


def _staff_yields(result: dict[str, Preference], speakers: list[tuple[str, Mapping[str, Assertion]]]) -> None:
    """What staff has stays in force until an EMR has stated its own, entirely later (product section 4)."""
    for authority, assertions in speakers:
        for name, said in assertions.items() if authority == STAFF else ():
            standing = result.get(name)
            if standing is not None and standing.authority == STAFF and yields(name, said) and (said.value, said.path) != (YES, BY_MERGE):
                _yield_to_emr(result, name, standing, speakers)


def _yield_to_emr(
    result: dict[str, Preference], name: str, standing: Preference, speakers: list[tuple[str, Mapping[str, Assertion]]]
) -> None:
    for authority, assertions in speakers:
        said = assertions.get(name)
        if not authority.startswith(EMR) or said is None or said.value is None:
            continue
        if said.effective.is_after(_since(standing.assertion, authority)):
            result[name] = Preference(said.value, authority, said)
            return


def _since(standing: Assertion, authority: str) -> Time:
    """What a source must be later than. One kept from a retired source stands until its release against what any other source stated."""
    source = authority.removeprefix(EMR)
    is_of_another = standing.path.startswith(INHERITED) and not standing.path.startswith(f"{INHERITED}{source}:")
    return times.newest(standing.effective, times.at(standing.recorded)) if is_of_another else standing.effective
