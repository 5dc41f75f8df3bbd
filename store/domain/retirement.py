"""Retiring a source: staff inherits its values, and gives them back when that is undone. Pure.

Neither step lifts a refusal. An inherited assertion names the source in its path. An inherited Do Not Contact stays in force until another
source states a later one (``store.domain.assertions``); an earlier statement does not lift it.
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
    """What is asserted about a patient after the source is retired: its values are staff's. Of two refusals neither is lost.

    What could not be read stays unreadable, until another source states it after the release.
    """
    retired = by_authority[authority]
    staff = by_authority.get(STAFF) or SourceAssertions({}, times.at(now), times.at(now), "", now)
    kept = staff.current()
    for name, one in retired.current().items():
        if one.value is None or not (enterprise.syncs or not entry(name).needs_sync):
            continue
        if name == DO_NOT_CONTACT and local_dnc.is_kept(by_authority):  # kept until a source states a later one (product rule 5.7)
            continue
        old = kept.get(name)
        if name == DO_NOT_CONTACT and old is not None and local_dnc.has_not_yielded(by_authority):  # nor does it yield to an older one
            if one.value == YES:
                kept[name] = _inherited(one._replace(effective=times.newest(old.effective, one.effective)), source, now)
            continue
        if old is None or (enterprise.syncs and not (is_inherited(old) and more_restrictive(name, old.value, one.value))):
            if old is not None and is_inherited(old) and old.value == one.value:
                one = one._replace(effective=times.newest(old.effective, one.effective))
            kept[name] = _inherited(one, source, now)
    rest = {name: asserted for name, asserted in by_authority.items() if name != authority}
    marks = unreadable.joined(staff.unreadable, unreadable.anchored(retired.unreadable, now))
    return _without_losses(by_authority, rest, _staff(staff, kept, marks, now), source, enterprise, now)


def restore(
    by_authority: ByAuthority,
    authority: str,
    source: str,
    before: tuple[SourceAssertions, SourceAssertions | None],
    enterprise: Enterprise,
    now: datetime,
) -> dict[str, SourceAssertions]:
    """What is asserted after retiring is undone. ``before``: what source and staff asserted at the release. Staff keeps what is newer."""
    source_before, staff_before = before
    staff = by_authority.get(STAFF) or SourceAssertions({}, times.at(now), times.at(now), "", now)
    kept = {name: one for name, one in staff.current().items() if not one.path.startswith(f"{INHERITED}{source}:")}
    previous = staff_before.current() if staff_before is not None else {}
    kept = {name: one for name, one in previous.items() if name not in staff.assertions or is_inherited(staff.assertions[name])} | kept
    resent = by_authority.get(authority)
    rest = {**by_authority, authority: payload.joined(resent, source_before) if resent is not None else source_before}
    marks = {name: mark for name, mark in staff.unreadable.items() if mark.evidence_id != _evidence(name, source_before)}
    marks |= {
        name: mark for name, mark in (staff_before.unreadable if staff_before is not None else {}).items() if name in staff.unreadable
    }
    return _without_losses(by_authority, rest, _staff(staff, kept, marks, now), source, enterprise, now)


def without_late(by_authority: ByAuthority, authority: str, item: PatientStatements) -> PatientStatements:
    """A payload of a source that sends data again after it was retired, without the late statements in it.

    What staff inherited is the source's own past. A statement older than an inherited refusal does not lift it (product rule 5.1). A late
    opt-out still counts. If two retired sources both had the method "none", staff keeps the one of the last retired for both. It holds
    against each of them, except one that has stated a method since.
    """
    staff, own = by_authority.get(STAFF), by_authority.get(authority)
    past = staff.current() if staff is not None and authority.startswith(EMR) else {}
    prefix = f"{INHERITED}{authority.removeprefix(EMR)}:"
    method = own.assertions.get(PREFERRED_METHOD) if own is not None else None
    has_method = method is not None and not refuses(PREFERRED_METHOD, method.value)
    late = {
        name
        for name, one in item.statements.items()
        if name in past
        and past[name].path.startswith(INHERITED if name == PREFERRED_METHOD and not has_method else prefix)
        and not item.effective.is_after(past[name].effective)
        and more_restrictive(name, past[name].value, one.value)
    }
    return replace(item, statements={name: one for name, one in item.statements.items() if name not in late}) if late else item


def is_inherited(assertion: Assertion) -> bool:
    """Whether staff inherited it from a retired source."""
    return assertion.path.startswith(INHERITED)


def _without_losses(
    before: ByAuthority, rest: ByAuthority, staff: SourceAssertions, source: str, enterprise: Enterprise, now: datetime
) -> dict[str, SourceAssertions]:
    """Gives staff each refusal that would otherwise be lost. Which number or method is preferred is not a refusal."""
    old, new = (_in_force(one, enterprise) for one in (before, {**rest, STAFF: staff}))
    names = [name for name in old if is_refusable(name)]
    lost = {name: _inherited(old[name].assertion, source, now) for name in permitting_changes(old, new, names)}
    staff = replace(staff, assertions={**staff.assertions, **lost})
    return (
        {**rest, STAFF: staff}
        if staff.assertions or staff.unreadable
        else {name: asserted for name, asserted in rest.items() if name != STAFF}
    )


def _in_force(by_authority: ByAuthority, enterprise: Enterprise) -> dict[str, Preference]:
    return effective.in_force({name: asserted.assertions for name, asserted in by_authority.items()}, enterprise)


def _inherited(assertion: Assertion, source: str, now: datetime) -> Assertion:
    path = assertion.path.split(":", 2)[2] if is_inherited(assertion) else assertion.path
    return assertion._replace(recorded=now, path=f"{INHERITED}{source}:{path}")


def _evidence(name: str, asserted: SourceAssertions) -> str | None:
    """The evidence of an authority that could not be read for an attribute."""
    return asserted.unreadable[name].evidence_id if name in asserted.unreadable else None


def _staff(staff: SourceAssertions, kept: Mapping[str, Assertion], marks: Marks, now: datetime) -> SourceAssertions:
    newest = times.newest(staff.confirmed, times.at(now))
    return SourceAssertions(kept, newest, newest, staff.seen, staff.since, marks)
