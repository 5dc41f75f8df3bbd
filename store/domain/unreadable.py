"""Attributes that newer evidence spoke about and that could not be read (product section 9). Pure.

A payload of which a part cannot be read is applied without that part. Where the part could be a refusal, what was in force before it
may be outdated, so the attribute is marked for the patient, by authority, since that evidence. Newer evidence that can be read removes
the mark; so does the same payload, replayed or read by another mapping. Evidence that may be older does not, nor another message of the
same control id and time. The marks of a source that is retired are staff's from then on,
until another source states the attribute after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from store import times
from store.domain.attributes import entry
from store.domain.enterprise import Enterprise
from store.domain.ordering import record_of, stated
from store.preference import Assertion, PatientStatements, base, refusal, refuses
from store.times import Time


class Unreadable(NamedTuple):
    """Since which evidence an attribute could not be read, where in it, why (a stable code), and by which mapping."""

    effective: datetime
    evidence_id: str
    path: str
    reason: str
    latest: datetime | None = None
    mapping: str = ""

    @property
    def time(self) -> Time:
        """When that evidence was stated."""
        return times.between(self.effective, self.latest)


Marks = Mapping[str, Unreadable]
"""By attribute, for one authority and one patient."""


def unread(item: PatientStatements) -> tuple[str, ...]:
    """The attributes of a payload that may refuse and could not be read. One that it refuses all the same is read well enough."""
    if not item.problems:
        return ()
    named = dict.fromkeys(base(one.attribute) for one in item.problems if refusal(one.attribute) is not None)
    return tuple(name for name in named if not _refuses(name, item))


def after(marks: Marks, before: Mapping[str, Assertion], item: PatientStatements, *, whole: bool, joined: datetime | None = None) -> Marks:
    """The marks of an authority once it has stated one more payload. ``before``: what it had asserted. ``joined``: see ``merge.merge``.

    ``whole``: the payload itself was read, not a statement of it that was kept.
    """
    new = unread(item)
    if not marks and not new:
        return marks
    kept = {name: mark for name, mark in marks.items() if name in new or not _settles(name, mark, item, whole=whole)}
    for problem in item.problems:
        name = base(problem.attribute)
        if name in new and not _is_older(item.effective, kept.get(name), before.get(name), joined):
            time = item.effective if name not in kept else times.newest(kept[name].time, item.effective)
            latest = None if time.latest == item.effective.earliest else time.latest
            kept[name] = Unreadable(item.effective.earliest, item.evidence_id, problem.path, problem.reason, latest, item.mapping)
    return anchored(kept, joined) if joined is not None and new else kept


def settled_by(marks: Marks, item: PatientStatements) -> Marks:
    """What a payload of another authority leaves of the marks that staff has of a retired source."""
    return {name: mark for name, mark in marks.items() if not _settles(name, mark, item, whole=False)}


def joined(first: Marks, second: Marks) -> Marks:
    """The marks of two records that are one person: the newer of each."""
    both = {name: max(first[name], second[name], key=lambda one: (one.time.latest, one)) for name in first.keys() & second.keys()}
    return {**first, **second, **both}


def anchored(marks: Marks, merged_at: datetime) -> Marks:
    """The marks of a record that was just merged: nothing that either record said before that moment and that arrives late settles them."""
    return {name: one if one.time.latest >= merged_at else one._replace(latest=merged_at) for name, one in marks.items()}


def in_force(by_authority: Iterable[tuple[str, Marks]], enterprise: Enterprise) -> tuple[str, ...]:
    """The attributes that newer evidence could not be read for, sorted. Without sync, only what counts without sync."""
    found = {name for _, marks in by_authority for name in marks}
    return tuple(sorted(name for name in found if enterprise.locks or not entry(name).needs_sync))


def _refuses(name: str, item: PatientStatements) -> bool:
    said = item.statements.get(name)
    return said is not None and refuses(name, said.value)


def _settles(name: str, mark: Unreadable, item: PatientStatements, *, whole: bool) -> bool:
    said = stated(item).get(name)
    is_of_another = record_of(item.evidence_id) != record_of(mark.evidence_id)
    if said is not None and item.effective.is_after(mark.time) and not (said.value is None and is_of_another):
        return True
    is_again = whole and (item.received is not None or item.mapping != mark.mapping)
    return is_again and (item.evidence_id, item.effective.earliest) == (mark.evidence_id, mark.effective)


def _is_older(effective: Time, mark: Unreadable | None, before: Assertion | None, joined: datetime | None) -> bool:
    """Whether newer evidence is known. What was stated of one record before a merge is not older by what was stated of the other."""
    if mark is not None and effective.is_before(mark.time):
        return True
    if before is None or not effective.is_before(before.effective):
        return False
    return joined is None or before.effective.is_after(times.at(joined)) or effective.is_after(times.at(joined))
