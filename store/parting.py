"""What each of two records says once a merge of them is undone. Pure.

The merged record gets back what stood when it went. The survivor gets back what stood before, and what was stated since stays with
it: nobody can tell any more which of the two it was about. So what was stated since and forbids something holds for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from store.merge import Held, more_restrictive
from store.preference import PHONES, Assertion, base

Records = Mapping[str, Held]
"""Authority -> what it holds about one record."""

BY_MERGE = "sms_opt_out"
"""The path of a denial that a merge wrote itself, for an opt-out of a number that the joined record has no more."""


class Merge(NamedTuple):
    """The merge that is undone: its evidence, and since when the two were one."""

    evidence_id: str
    effective: datetime


def part(now: Records, before: Records, merged: Records, merge: Merge) -> tuple[dict[str, Held], dict[str, Held]]:
    """The survivor and the merged record, from the survivor as it stands, as it stood before, and the merged one as it went."""
    survivor: dict[str, Held] = {}
    restored = dict(merged)
    news = {authority: _since(held, before.get(authority), merged.get(authority), merge) for authority, held in now.items()}
    # Where the survivor has other numbers since, its own are not on file again, and neither are the opt-outs of them.
    other_numbers = any(base(name) == PHONES for since in news.values() for name in since)
    for authority, held in now.items():
        was, other = before.get(authority), merged.get(authority)
        since = {name: one for name, one in news[authority].items() if other_numbers or not _by(merge, one)}
        if was is not None or since:
            survivor[authority] = _with(was, since, held)
        if forbidden := _forbidding(since, other):
            restored[authority] = _with(other, forbidden, other or held)
    return survivor, restored


def _since(held: Held, was: Held | None, other: Held | None, merge: Merge) -> dict[str, Assertion]:
    """What was stated, or stated again, after the two had become one."""
    mine, theirs = was.current() if was else {}, other.current() if other else {}
    return {name: one for name, one in held.current().items() if _is_new(one, [mine.get(name), theirs.get(name)], merge)}


def _by(merge: Merge, one: Assertion) -> bool:
    return one.path == BY_MERGE and one.evidence_id == merge.evidence_id


def _is_new(one: Assertion, origins: list[Assertion | None], merge: Merge) -> bool:
    known = [origin for origin in origins if origin is not None]
    if not any((origin.value, origin.recorded, origin.evidence_id) == (one.value, one.recorded, one.evidence_id) for origin in known):
        return True
    return one.effective > max(merge.effective, *(origin.effective for origin in known))


def _forbidding(since: Mapping[str, Assertion], other: Held | None) -> dict[str, Assertion]:
    own = other.current() if other else {}
    return {
        name: one
        for name, one in since.items()
        if more_restrictive(name, one.value, None) and more_restrictive(name, one.value, own[name].value if name in own else None)
    }


def _with(own: Held | None, more: Mapping[str, Assertion], like: Held) -> Held:
    """``own`` and more. Payloads that ``like`` has seen are known; its mark is as old as the older of the two."""
    assertions = {**(own.current() if own else {}), **more}
    newest = max([one.effective for one in assertions.values()] + ([own.confirmed] if own else [like.since]))
    return Held(assertions, newest, newest, like.seen, min(own.since, like.since) if own else like.since)
