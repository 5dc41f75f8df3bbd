"""Refusals of records behind a permission with an end, when their source is retired. Pure.

When a Consent that permits for a time ends, the refusal of another one counts again (``store.domain.periods``). A retired source is not
read any more on that day, so the refusal counts from the release on. If the release is undone earlier, the permission counts again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from store import times
from store.domain.assertions import INHERITED, SourceAssertions
from store.domain.enterprise import Enterprise
from store.domain.periods import FutureStatement, held_at
from store.domain.record_refusals import RecordRefusal
from store.preference import STAFF, Assertion, refuses

ByAuthority = Mapping[str, SourceAssertions]


def uncovered(
    by_authority: ByAuthority,
    authority: str,
    ahead: Sequence[FutureStatement],
    kept: Sequence[RecordRefusal],
    enterprise: Enterprise,
    now: datetime,
    joined: datetime | None,
) -> dict[str, SourceAssertions]:
    """The assertions with the refusals that would count again on some day, but not those that only begin then."""
    future = [one for one in ahead if one.authority == authority]
    asserted = by_authority[authority]
    current = asserted.current()
    found: dict[str, Assertion] = {}
    for moment in sorted({one.due for one in future}):
        then = held_at(by_authority, future, kept, enterprise, moment, now, joined)[authority].assertions
        hidden = {name: one for name, one in then.items() if _is_hidden(name, one, current.get(name), future)}
        found |= {name: _as_new_as(one, current.get(name)) for name, one in hidden.items()}
    if not found:
        return {**by_authority}
    return {**by_authority, authority: replace(asserted, assertions={**current, **found}, effective=asserted.confirmed)}


def covered(
    by_authority: ByAuthority, source: str, before: SourceAssertions, ahead: Sequence[FutureStatement], authority: str
) -> dict[str, SourceAssertions]:
    """The assertions without the refusals that staff got by :func:`uncovered` and a permission hides again.

    ``before``: what the source asserted when it was retired.
    """
    staff = by_authority.get(STAFF)
    if staff is None:
        return {**by_authority}
    ends = {one.attribute for one in ahead if one.authority == authority and one.value is None}
    former = before.current()
    again = {name for name, one in staff.assertions.items() if name in ends and _is_uncovered(name, one, former.get(name), source)}
    return {**by_authority, STAFF: replace(staff, assertions={name: one for name, one in staff.assertions.items() if name not in again})}


def _as_new_as(one: Assertion, permission: Assertion | None) -> Assertion:
    """The refusal, at least as new as the permission, so that the permission does not lift it."""
    return one if permission is None else one._replace(effective=times.newest(one.effective, permission.effective))


def _is_hidden(name: str, then: Assertion, now: Assertion | None, ahead: Sequence[FutureStatement]) -> bool:
    if not refuses(name, then.value) or (now is not None and refuses(name, now.value)):
        return False
    return not any(one.refuses and (one.attribute, one.evidence_id) == (name, then.evidence_id) for one in ahead)


def _is_uncovered(name: str, one: Assertion, former: Assertion | None, source: str) -> bool:
    is_of_source = one.path.startswith(f"{INHERITED}{source}:") and refuses(name, one.value)
    return is_of_source and former is not None and not refuses(name, former.value)
