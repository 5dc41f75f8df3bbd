"""Which records a patient consists of after merges, and what each record asserts after a merge is undone. Pure.

When a merge is undone, each record gets back what a source states under the record's own identifiers, as if there had been no merge. What
people stated here was about both and stays with the survivor. A refusal stated between the merge and its undoing holds for both records,
whoever stated it, because nobody can tell which of the two it was about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import reduce
from typing import Any, NamedTuple

from store import times
from store.domain import payload, source_codes, unreadable
from store.domain.assertions import INHERITED, SourceAssertions
from store.domain.contactability import more_restrictive
from store.preference import EMR, PHONES, STAFF, Assertion, base, emr, refuses

ALWAYS = times.BEGINNING
"""The effective time of a merge by a linking identifier. Such an identifier has no time, and no EMR has data this old."""


class Join(NamedTuple):
    """A merge: its number in the order of merges, the two records (store ids), and its time by the EMR's clock."""

    seq: int
    survivor: int
    merged: int
    effective: datetime


class Side(NamedTuple):
    """One of the two records of a merge. ``seq`` is the merge's number; ``record`` the survivor or the merged one."""

    seq: int
    record: int


class Lineage:
    """The merges in force of one patient. Of two merges of the same records the later is in force: the earlier was undone."""

    def __init__(self, joins: Iterable[Join]) -> None:
        self.by_merged = {one.merged: one for one in sorted(joins)}

    @property
    def joined(self) -> datetime:
        """The time of the patient's latest merge."""
        return max(one.effective for one in self.by_merged.values())

    def effective(self, side: Side) -> datetime:
        """The time of a side's merge."""
        return next(one.effective for one in self.by_merged.values() if one.seq == side.seq)

    def sides(self, record: int) -> list[Side]:
        """The record's side of each merge that it took part in; the record's own first, the patient's last."""
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
        """The time of the latest merge of one side with another record, before that merge."""
        within, before = {side.record}, []
        for one in sorted(self.by_merged.values(), reverse=True):
            if one.seq < side.seq and one.survivor in within:
                within.add(one.merged)
                before.append(one.effective)
        return max(before, default=None)


Records = Mapping[str, SourceAssertions]
"""Authority -> what it asserts about one record."""

BY_MERGE = "sms_opt_out"
"""The path of a denial written by a merge itself, for an opt-out of a number that the merged patient no longer has."""


class Merge(NamedTuple):
    """The merge that is undone: its evidence and its time."""

    evidence_id: str
    effective: datetime


class UnmergedRecord(NamedTuple):
    """One of the two records: as it was at the merge, and as stated under its own identifiers since."""

    at_merge: Records
    own: Records


def split(
    now: Records, survivor: UnmergedRecord, merged: UnmergedRecord, merge: Merge
) -> tuple[dict[str, SourceAssertions], dict[str, SourceAssertions]]:
    """The survivor and the merged record after the undoing. ``now``: what is in force for both together."""
    both = survivor, merged
    stated = {authority: _stated_since(authority, asserted, both, merge) for authority, asserted in now.items()}
    # If the survivor has got other numbers since, its own are not on file any more, and neither are their opt-outs.
    other_numbers = any(base(name) == PHONES for since in stated.values() for name in since)
    of_survivor, of_merged = dict(survivor.own), dict(merged.own)
    for authority, asserted in now.items():
        since = {name: one for name, one in stated[authority].items() if other_numbers or not _is_written_by(merge, one)}
        stays = {} if authority.startswith(EMR) else {name: one for name, one in since.items() if not _inherited(one)}
        is_about_survivor, is_about_merged = (_may_be_about(authority, *pair, merge) for pair in ((survivor, merged), (merged, survivor)))
        _add(of_survivor, authority, stays | (_missing_refusals(since, of_survivor.get(authority)) if is_about_survivor else {}), asserted)
        _add(of_merged, authority, _missing_refusals(since, of_merged.get(authority)) if is_about_merged else {}, asserted)
    for record, before in ((of_survivor, survivor.at_merge), (of_merged, merged.at_merge)):
        if kept := _refusals_of_retired(now, before):
            _add(record, STAFF, _missing_refusals(kept, record.get(STAFF)), now[STAFF])
    for own, other in ((survivor.own, of_merged), (merged.own, of_survivor)):  # a retired source is left only in the records' sides
        for authority in own.keys() - now.keys():
            if authority.startswith(EMR):
                since = _stated_since(authority, own[authority], both, merge)
                _add(other, authority, _missing_refusals(since, other.get(authority)), own[authority])
    return _with_unreadable(of_survivor, now), _with_unreadable(of_merged, now)


def _may_be_about(authority: str, one: UnmergedRecord, other: UnmergedRecord, merge: Merge) -> bool:
    """Whether a source's statement may be about a record. Of two linked records, a source names only its own."""
    is_link = merge.effective == ALWAYS and authority.startswith(EMR)
    return not is_link or authority in one.own or authority not in other.own


def _with_unreadable(records: Mapping[str, SourceAssertions], now: Records) -> dict[str, SourceAssertions]:
    """Adds the unreadable marks of the merged patient to each record: nobody can tell which of the two they are about."""
    return {
        name: payload.with_more(asserted, {}, unreadable.joined(asserted.unreadable, now[name].unreadable)) if name in now else asserted
        for name, asserted in records.items()
    }


def _stated_since(
    authority: str, asserted: SourceAssertions, both: tuple[UnmergedRecord, UnmergedRecord], merge: Merge
) -> dict[str, Assertion]:
    """What was stated, or stated again, after the merge."""
    at_merge = both[0].at_merge, both[1].at_merge
    stated = {}
    for name, one in asserted.current().items():
        origins = _origins(authority, name, one, at_merge)
        since = reduce(times.newest, (origin.effective for origin in origins), times.at(merge.effective))
        if one.effective.is_after(since) or not _is_known(authority, name, one, asserted, both, origins):
            stated[name] = one
    return stated


def _is_known(
    authority: str,
    name: str,
    one: Assertion,
    asserted: SourceAssertions,
    both: tuple[UnmergedRecord, UnmergedRecord],
    origins: list[Assertion],
) -> bool:
    """Whether either record asserted it at the merge, or had the codes it is read from, whatever mapping read them then.

    The codes of the two together leave out older ones, which each record's own side still has.
    """
    kept, own = ([records[authority] for records in side if authority in records] for side in zip(*both, strict=True))
    if read := _read_from(one, name, [asserted]) or _read_from(one, name, own):
        return bool(read & {source_codes.evidence(each) for each in _codes(name, kept)})
    return any((origin.value, origin.recorded, origin.evidence_id) == (one.value, one.recorded, one.evidence_id) for origin in origins)


def _read_from(one: Assertion, name: str, holders: Iterable[SourceAssertions]) -> set[tuple[Any, ...]]:
    """The codes that state an assertion."""
    found = (each for each in _codes(name, holders) if each.outcome == source_codes.STATED and each.value == one.value)
    return {source_codes.evidence(each) for each in found if (each.evidence_id, each.recorded) == (one.evidence_id, one.recorded)}


def _codes(name: str, holders: Iterable[SourceAssertions]) -> list[source_codes.Reading]:
    return [each for one in holders for each in (payload.codes_of(one)[1] or {}).get(name, ())]


def _origins(authority: str, name: str, one: Assertion, at_merge: tuple[Records, Records]) -> list[Assertion]:
    """What was asserted about either record at the merge. Staff has a retired source's assertions as that source stated them."""
    by = emr(one.path.split(":", 2)[1]) if _inherited(one) else authority
    found = [records[owner].current().get(name) for records in at_merge for owner in {authority, by} if owner in records]
    return [origin._replace(recorded=one.recorded) if by != authority else origin for origin in found if origin is not None]


def _refusals_of_retired(now: Records, at_merge: Records) -> dict[str, Assertion]:
    """Opt-outs of one record that staff inherited from a source that was retired while the two were merged, and has sent data again since.

    The record's own side continues with that source as if it had never been retired. What staff inherited stays staff's.
    """
    kept = {}
    for name, one in now[STAFF].current().items() if STAFF in now else ():
        source = emr(one.path.split(":", 2)[1]) if _inherited(one) else ""
        origin = at_merge[source].current().get(name) if source in now and source in at_merge else None
        if origin is not None and origin.value == one.value:
            kept[name] = one._replace(effective=origin.effective)
    return kept


def _inherited(one: Assertion) -> bool:
    return one.path.startswith(INHERITED)


def _is_written_by(merge: Merge, one: Assertion) -> bool:
    return one.path == BY_MERGE and one.evidence_id == merge.evidence_id


def _missing_refusals(since: Mapping[str, Assertion], own: SourceAssertions | None) -> dict[str, Assertion]:
    """The refusals that the record does not have, or has with an older time. Nothing older than them may lift them."""
    current = own.current() if own else {}
    return {name: one for name, one in since.items() if refuses(name, one.value) and _is_newer(name, one, current.get(name))}


def _is_newer(name: str, one: Assertion, own: Assertion | None) -> bool:
    if own is None or more_restrictive(name, one.value, own.value):
        return True
    return one.value == own.value and times.newest(one.effective, own.effective) != own.effective


def _add(records: dict[str, SourceAssertions], authority: str, more: Mapping[str, Assertion], like: SourceAssertions) -> None:
    """Adds assertions of an authority to a record. ``like``: provides ``since`` if the record has none of that authority."""
    own = records.get(authority)
    if not more:
        return
    assertions = {**(own.current() if own else {}), **more}
    newest = reduce(times.newest, [*(one.effective for one in assertions.values()), *([own.confirmed] if own else [])])
    added = payload.with_more(own, more, own.unreadable) if own else SourceAssertions(more, newest, newest, "", like.since)
    records[authority] = replace(added, effective=newest, confirmed=newest)
