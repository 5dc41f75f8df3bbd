"""Who owns the values of a source that is retired: staff inherits them, and gives them back when that is undone. Pure.

Nothing that was refused becomes allowed by either. An inherited assertion names the source in its path; an inherited Do Not Contact
stands until another source states one after it (``store.domain.assertions``), not because of what that source had said before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from store import times
from store.domain import effective, local_dnc, payload, unreadable
from store.domain.assertions import INHERITED, SourceAssertions
from store.domain.attributes import entry
from store.domain.contactability import is_refusable, more_restrictive, permitting_changes
from store.domain.enterprise import Enterprise
from store.domain.unreadable import Marks
from store.preference import DO_NOT_CONTACT, EMR, PREFERRED_METHOD, STAFF, YES, Assertion, PatientStatements, Preference, refuses

ByAuthority = Mapping[str, SourceAssertions]


def inherit(by_authority: ByAuthority, authority: str, source: str, enterprise: Enterprise, now: datetime) -> dict[str, SourceAssertions]:
    """What stands of a patient when the source is retired: its values are staff's. Of two refusals neither is lost.

    What could not be read of it stays so, until another source states it after the release.
    """
    mine = by_authority[authority]
    staff = by_authority.get(STAFF) or SourceAssertions({}, times.at(now), times.at(now), "", now)
    kept = staff.current()
    for name, one in mine.current().items():
        if one.value is None or not (enterprise.syncs or not entry(name).needs_sync):
            continue
        if name == DO_NOT_CONTACT and local_dnc.is_kept(by_authority):  # kept until a source states a later one (product rule 5.7)
            continue
        old = kept.get(name)
        if name == DO_NOT_CONTACT and old is not None and local_dnc.has_not_yielded(by_authority):  # nor is it lost to what is older
            if one.value == YES:
                kept[name] = _marked(one._replace(effective=times.newest(old.effective, one.effective)), source, now)
            continue
        if old is None or (enterprise.syncs and not (is_inherited(old) and more_restrictive(name, old.value, one.value))):
            if old is not None and is_inherited(old) and old.value == one.value:
                one = one._replace(effective=times.newest(old.effective, one.effective))
            kept[name] = _marked(one, source, now)
    rest = {name: held for name, held in by_authority.items() if name != authority}
    marks = unreadable.joined(staff.unreadable, unreadable.anchored(mine.unreadable, now))
    return _holding_fast(by_authority, rest, _staff(staff, kept, marks, now), source, enterprise, now)


def give_back(
    by_authority: ByAuthority,
    authority: str,
    source: str,
    before: tuple[SourceAssertions, SourceAssertions | None],
    enterprise: Enterprise,
    now: datetime,
) -> dict[str, SourceAssertions]:
    """What stands when retiring is undone. ``before``: the source's words then, and staff's. Staff's newer words stay staff's."""
    mine, theirs = before
    staff = by_authority.get(STAFF) or SourceAssertions({}, times.at(now), times.at(now), "", now)
    kept = {name: one for name, one in staff.current().items() if not one.path.startswith(f"{INHERITED}{source}:")}
    was = theirs.current() if theirs is not None else {}
    kept = {name: one for name, one in was.items() if name not in staff.assertions or is_inherited(staff.assertions[name])} | kept
    again = by_authority.get(authority)
    rest = {**by_authority, authority: payload.joined(again, mine) if again is not None else mine}
    marks = {name: mark for name, mark in staff.unreadable.items() if mark.evidence_id != _evidence(name, mine)}
    marks |= {name: mark for name, mark in (theirs.unreadable if theirs is not None else {}).items() if name in staff.unreadable}
    return _holding_fast(by_authority, rest, _staff(staff, kept, marks, now), source, enterprise, now)


def without_late(by_authority: ByAuthority, authority: str, item: PatientStatements) -> PatientStatements:
    """A payload of a source that speaks again after it was retired, without what it says late.

    What staff has of it is its own past: a word from before a refusal in it lifts nothing (product rule 5.1). A late opt-out still counts.
    Of two retired sources that both had the method "none", staff keeps the one that was retired last, in the place of both: it stands
    against each of them, but for one that has stated a method since.
    """
    staff, mine = by_authority.get(STAFF), by_authority.get(authority)
    past = staff.current() if staff is not None and authority.startswith(EMR) else {}
    begins = f"{INHERITED}{authority.removeprefix(EMR)}:"
    method = mine.assertions.get(PREFERRED_METHOD) if mine is not None else None
    has_method = method is not None and not refuses(PREFERRED_METHOD, method.value)
    late = {
        name
        for name, one in item.statements.items()
        if name in past
        and past[name].path.startswith(INHERITED if name == PREFERRED_METHOD and not has_method else begins)
        and not item.effective.is_after(past[name].effective)
        and more_restrictive(name, past[name].value, one.value)
    }
    return replace(item, statements={name: one for name, one in item.statements.items() if name not in late}) if late else item


def is_inherited(assertion: Assertion) -> bool:
    """Whether staff has it from a retired source."""
    return assertion.path.startswith(INHERITED)


def _holding_fast(
    before: ByAuthority, rest: ByAuthority, staff: SourceAssertions, source: str, enterprise: Enterprise, now: datetime
) -> dict[str, SourceAssertions]:
    """Puts every refusal that would be lost into staff's hands. Which number or method comes first is not a refusal."""
    was, after = (_in_force(one, enterprise) for one in (before, {**rest, STAFF: staff}))
    names = [name for name in was if is_refusable(name)]
    lost = {name: _marked(was[name].assertion, source, now) for name in permitting_changes(was, after, names)}
    staff = replace(staff, assertions={**staff.assertions, **lost})
    return {**rest, STAFF: staff} if staff.assertions or staff.unreadable else {name: held for name, held in rest.items() if name != STAFF}


def _in_force(by_authority: ByAuthority, enterprise: Enterprise) -> dict[str, Preference]:
    return effective.in_force({name: held.assertions for name, held in by_authority.items()}, enterprise)


def _marked(assertion: Assertion, source: str, now: datetime) -> Assertion:
    path = assertion.path.split(":", 2)[2] if is_inherited(assertion) else assertion.path
    return assertion._replace(recorded=now, path=f"{INHERITED}{source}:{path}")


def _evidence(name: str, held: SourceAssertions) -> str | None:
    """Which evidence of an authority could not be read for an attribute."""
    return held.unreadable[name].evidence_id if name in held.unreadable else None


def _staff(staff: SourceAssertions, kept: Mapping[str, Assertion], marks: Marks, now: datetime) -> SourceAssertions:
    newest = times.newest(staff.confirmed, times.at(now))
    return SourceAssertions(kept, newest, newest, staff.seen, staff.since, marks)
