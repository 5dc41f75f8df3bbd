"""What the records of a source refuse behind a permission that ends, when the source is retired. Pure.

Of a Consent that permits for a time only its end makes what another one refuses count again (``store.periods``), and a retired source is
not asked any more when that day comes. So it counts from the release on; where that is undone before the day, the permission counts again.
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
    """What stands of a patient, with the refusals that would count again on some day. A refusal that only begins then is not yet one."""
    mine = [one for one in ahead if one.authority == authority]
    held = by_authority[authority]
    said = held.current()
    found: dict[str, Assertion] = {}
    for moment in sorted({one.due for one in mine}):
        then = held_at(by_authority, mine, kept, enterprise, moment, now, joined)[authority].assertions
        found |= {name: _as_new_as(one, said.get(name)) for name, one in then.items() if _is_hidden(name, one, said.get(name), mine)}
    return {**by_authority, authority: replace(held, assertions={**said, **found}, effective=held.confirmed)} if found else {**by_authority}


def covered(
    by_authority: ByAuthority, source: str, before: SourceAssertions, ahead: Sequence[FutureStatement], authority: str
) -> dict[str, SourceAssertions]:
    """What stands of a patient, less what staff has of a source by :func:`uncovered` and what a permission covers again.

    ``before``: what the source asserted when it was retired.
    """
    staff = by_authority.get(STAFF)
    if staff is None:
        return {**by_authority}
    ends = {one.attribute for one in ahead if one.authority == authority and one.value is None}
    said = before.current()
    again = {name for name, one in staff.assertions.items() if name in ends and _is_uncovered(name, one, said.get(name), source)}
    return {**by_authority, STAFF: replace(staff, assertions={name: one for name, one in staff.assertions.items() if name not in again})}


def _as_new_as(one: Assertion, permission: Assertion | None) -> Assertion:
    """The refusal, that the permission does not lift again."""
    return one if permission is None else one._replace(effective=times.newest(one.effective, permission.effective))


def _is_hidden(name: str, then: Assertion, now: Assertion | None, ahead: Sequence[FutureStatement]) -> bool:
    if not refuses(name, then.value) or (now is not None and refuses(name, now.value)):
        return False
    return not any(one.refuses and (one.attribute, one.evidence_id) == (name, then.evidence_id) for one in ahead)


def _is_uncovered(name: str, one: Assertion, said: Assertion | None, source: str) -> bool:
    is_of_source = one.path.startswith(f"{INHERITED}{source}:") and refuses(name, one.value)
    return is_of_source and said is not None and not refuses(name, said.value)
