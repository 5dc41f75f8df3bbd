"""What each of two records says once a merge of them is undone. Pure.

Of a source, each record gets back what that source says under the record's own names, as though there had been no merge. What was
stated here, by people, was stated about both: it stays with the survivor. And whoever stated it, what was stated since the two met
and forbids something until they part holds for both: nobody can tell any more which of the two it was about.

Which records one patient is made of, by the merges that stand, and on which side of each of them a record is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import reduce
from typing import NamedTuple

from store import times
from store.domain import payload, unreadable
from store.domain.assertions import INHERITED, SourceAssertions
from store.domain.contactability import more_restrictive
from store.preference import EMR, PHONES, STAFF, Assertion, base, emr, refuses

ALWAYS = times.BEGINNING
"""Since when two records are one that a linking identifier joined: it says nothing about a time, and no EMR is as old."""


class Join(NamedTuple):
    """A merge: its number in the order of merges, the two records (store ids), and since when they are one by the EMR's clock."""

    seq: int
    survivor: int
    merged: int
    effective: datetime


class Side(NamedTuple):
    """One of the two records of a merge. ``seq`` is the merge's number; ``record`` the survivor or the merged one."""

    seq: int
    record: int


class Lineage:
    """The merges that stand in one patient. Of two merges of the same records the later stands: the earlier was undone."""

    def __init__(self, joins: Iterable[Join]) -> None:
        self.by_merged = {one.merged: one for one in sorted(joins)}

    @property
    def joined(self) -> datetime:
        """When the patient last became one with another record."""
        return max(one.effective for one in self.by_merged.values())

    def sides(self, record: int) -> list[Side]:
        """The side that a record is on, of each merge it took part in; the record's own first, the patient's last."""
        found: list[Side] = []
        arrived = 0
        while True:
            found += [Side(one.seq, record) for one in self.by_merged.values() if one.survivor == record and one.seq > arrived]
            up = self.by_merged.get(record)
            if up is None:
                return found
            found.append(Side(up.seq, record))
            arrived, record = up.seq, up.survivor

    def joined_before(self, side: Side) -> datetime | None:
        """When one side last became one with another record, before that merge."""
        within, before = {side.record}, []
        for one in sorted(self.by_merged.values(), reverse=True):
            if one.seq < side.seq and one.survivor in within:
                within.add(one.merged)
                before.append(one.effective)
        return max(before, default=None)


Records = Mapping[str, SourceAssertions]
"""Authority -> what it holds about one record."""

BY_MERGE = "sms_opt_out"
"""The path of a denial that a merge wrote itself, for an opt-out of a number that the joined record has no more."""


class Merge(NamedTuple):
    """The merge that is undone: its evidence, and since when the two were one."""

    evidence_id: str
    effective: datetime


class Half(NamedTuple):
    """One of the two: as it was when they met, and as it is by what was said under its own names since."""

    then: Records
    own: Records


def part(now: Records, survivor: Half, merged: Half, merge: Merge) -> tuple[dict[str, SourceAssertions], dict[str, SourceAssertions]]:
    """The survivor and the merged record, from what stands for both."""
    news = {authority: _since(authority, held, (survivor.then, merged.then), merge) for authority, held in now.items()}
    # Where the survivor has other numbers since, its own are not on file again, and neither are the opt-outs of them.
    other_numbers = any(base(name) == PHONES for since in news.values() for name in since)
    mine, theirs = dict(survivor.own), dict(merged.own)
    for authority, held in now.items():
        since = {name: one for name, one in news[authority].items() if other_numbers or not _by(merge, one)}
        stays = {} if authority.startswith(EMR) else {name: one for name, one in since.items() if not _inherited(one)}
        ours, yours = (_may_be_about(authority, *pair, merge) for pair in ((survivor, merged), (merged, survivor)))
        _add(mine, authority, stays | (_forbidding(since, mine.get(authority)) if ours else {}), held)
        _add(theirs, authority, _forbidding(since, theirs.get(authority)) if yours else {}, held)
    for half, then_was in ((mine, survivor.then), (theirs, merged.then)):
        if kept := _kept_of_retired(now, then_was):
            _add(half, STAFF, _forbidding(kept, half.get(STAFF)), now[STAFF])
    then = survivor.then, merged.then
    for own, other in ((survivor.own, theirs), (merged.own, mine)):  # of a source that was retired, only its sides are left
        for authority in own.keys() - now.keys():
            if authority.startswith(EMR):
                since = _since(authority, own[authority], then, merge)
                _add(other, authority, _forbidding(since, other.get(authority)), own[authority])
    return _marked(mine, now), _marked(theirs, now)


def _may_be_about(authority: str, one: Half, other: Half, merge: Merge) -> bool:
    """Whether something that a source stated may be about a record. Of two that were linked, it names only its own ever since."""
    is_link = merge.effective == ALWAYS and authority.startswith(EMR)
    return not is_link or authority in one.own or authority not in other.own


def _marked(records: Mapping[str, SourceAssertions], now: Records) -> dict[str, SourceAssertions]:
    """What could not be read of the joined record is not known to be about either, so it holds for both, beside the record's own."""
    return {
        name: payload.with_more(held, {}, unreadable.joined(held.unreadable, now[name].unreadable)) if name in now else held
        for name, held in records.items()
    }


def _since(authority: str, held: SourceAssertions, then: tuple[Records, Records], merge: Merge) -> dict[str, Assertion]:
    """What was stated, or stated again, after the two had become one."""
    return {name: one for name, one in held.current().items() if _is_new(one, _origins(authority, name, one, then), merge)}


def _origins(authority: str, name: str, one: Assertion, then: tuple[Records, Records]) -> list[Assertion]:
    """What was said of either record when they met. Staff has a retired source's words as that source said them."""
    by = emr(one.path.split(":", 2)[1]) if _inherited(one) else authority
    found = [records[who].current().get(name) for records in then for who in {authority, by} if who in records]
    return [origin._replace(recorded=one.recorded) if by != authority else origin for origin in found if origin is not None]


def _kept_of_retired(now: Records, then: Records) -> dict[str, Assertion]:
    """Opt-outs of one record that staff has from a source which was retired while the two were one, and speaks again since.

    The record's own side hears that source go on as though it had never been retired; what staff has of it stays staff's.
    """
    kept = {}
    for name, one in now[STAFF].current().items() if STAFF in now else ():
        source = emr(one.path.split(":", 2)[1]) if _inherited(one) else ""
        origin = then[source].current().get(name) if source in now and source in then else None
        if origin is not None and origin.value == one.value:
            kept[name] = one._replace(effective=origin.effective)
    return kept


def _inherited(one: Assertion) -> bool:
    return one.path.startswith(INHERITED)


def _by(merge: Merge, one: Assertion) -> bool:
    return one.path == BY_MERGE and one.evidence_id == merge.evidence_id


def _is_new(one: Assertion, origins: list[Assertion], merge: Merge) -> bool:
    if not any((origin.value, origin.recorded, origin.evidence_id) == (one.value, one.recorded, one.evidence_id) for origin in origins):
        return True
    since = reduce(times.newest, (origin.effective for origin in origins), times.at(merge.effective))
    return one.effective.is_after(since)


def _forbidding(since: Mapping[str, Assertion], own: SourceAssertions | None) -> dict[str, Assertion]:
    """Those of the opt-outs that the record does not have, or has of an older time: nothing from before them lifts them."""
    has = own.current() if own else {}
    return {name: one for name, one in since.items() if refuses(name, one.value) and _is_news(name, one, has.get(name))}


def _is_news(name: str, one: Assertion, own: Assertion | None) -> bool:
    if own is None or more_restrictive(name, one.value, own.value):
        return True
    return one.value == own.value and times.newest(one.effective, own.effective) != own.effective


def _add(records: dict[str, SourceAssertions], authority: str, more: Mapping[str, Assertion], like: SourceAssertions) -> None:
    """What an authority says of a record, and more."""
    own = records.get(authority)
    if not more:
        return
    said = {**(own.current() if own else {}), **more}
    newest = reduce(times.newest, [*(one.effective for one in said.values()), *([own.confirmed] if own else [])])
    now = payload.with_more(own, more, own.unreadable) if own else SourceAssertions(more, newest, newest, "", like.since)
    records[authority] = replace(now, effective=newest, confirmed=newest)
