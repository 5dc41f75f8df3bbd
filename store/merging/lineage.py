"""Which records one patient is made of, by the merges that stand, and on which side of each of them a record is. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from store import times

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
