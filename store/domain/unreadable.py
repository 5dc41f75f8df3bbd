"""Attributes about which newer evidence could not be read (product section 9). Pure.

A payload of which a part cannot be read is applied without that part. If the part could be a refusal, the value in force may be outdated,
so the attribute is marked for the patient, by authority, since that evidence. Newer readable evidence removes the mark; so does the same
payload, replayed or read by another mapping. Evidence that may be older does not, nor another message with the same control id and time.
When a source is retired, staff inherits its marks until another source states the attribute.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from store import times
from store.domain.attributes import entry
from store.domain.enterprise import Enterprise
from store.domain.ordering import record_of, stated
from store.preference import Assertion, PatientStatements, base, refusal, refuses
from store.times import Time


class Unreadable(NamedTuple):
    """Since which evidence an attribute could not be read, where in it, why (a stable code), and by which mapping.

    ``content`` is that of the payload (``PatientStatements.content``), since another message may have the same control id and time.
    """

    effective: datetime
    evidence_id: str
    path: str
    reason: str
    latest: datetime | None = None
    mapping: str = ""
    content: str = ""

    @property
    def time(self) -> Time:
        """When that evidence was stated."""
        return times.between(self.effective, self.latest)


Marks = Mapping[str, Unreadable]
"""By attribute, for one authority and one patient."""


def unread(item: PatientStatements) -> tuple[str, ...]:
    """The attributes of a payload that could refuse and could not be read, except those it refuses all the same."""
    if not item.problems:
        return ()
    named = dict.fromkeys(base(one.attribute) for one in item.problems if refusal(one.attribute) is not None)
    return tuple(name for name in named if not _refuses(name, item))


def after(
    marks: Marks,
    before: Mapping[str, Assertion],
    item: PatientStatements,
    *,
    whole: bool,
    joined: datetime | None = None,
    but: Collection[str] = (),
) -> Marks:
    """The marks of an authority after one more payload. ``before``: its assertions before. ``joined``: see ``assertions.merge``.

    ``whole``: the payload itself was read, not a statement kept from it. ``but``: attributes that were left out of it.
    """
    new = unread(item)
    if not marks and not new:
        return marks
    kept = {name: mark for name, mark in marks.items() if name in new or name in but or not _settles(name, mark, item, whole=whole)}
    for problem in item.problems:
        name = base(problem.attribute)
        if name in new and not _is_older(item.effective, kept.get(name), before.get(name), joined):
            time = item.effective if name not in kept else times.newest(kept[name].time, item.effective)
            latest = None if time.latest == item.effective.earliest else time.latest
            kept[name] = Unreadable(
                item.effective.earliest, item.evidence_id, problem.path, problem.reason, latest, item.mapping, item.content
            )
    return anchored(kept, joined) if joined is not None and new else kept


def settled_by(marks: Marks, item: PatientStatements) -> Marks:
    """The marks that staff inherited from a retired source, without those that another authority's payload settles."""
    return {name: mark for name, mark in marks.items() if not _settles(name, mark, item, whole=False)}


def joined(first: Marks, second: Marks) -> Marks:
    """The marks of two merged records: the newer of each."""
    both = {name: max(first[name], second[name], key=lambda one: (one.time.latest, one)) for name in first.keys() & second.keys()}
    return {**first, **second, **both}


def anchored(marks: Marks, merged_at: datetime) -> Marks:
    """The marks of a record that was just merged: late evidence from before the merge does not settle them."""
    return {name: one if one.time.latest >= merged_at else one._replace(latest=merged_at) for name, one in marks.items()}


def in_force(by_authority: Iterable[tuple[str, Marks]], enterprise: Enterprise) -> tuple[str, ...]:
    """The marked attributes, sorted. Without sync, only those that count without sync."""
    found = {name for _, marks in by_authority for name in marks}
    return tuple(sorted(name for name in found if enterprise.locks or not entry(name).needs_sync))


def _refuses(name: str, item: PatientStatements) -> bool:
    statement = item.statements.get(name)
    return statement is not None and refuses(name, statement.value)


def _settles(name: str, mark: Unreadable, item: PatientStatements, *, whole: bool) -> bool:
    statement = stated(item).get(name)
    is_of_another = record_of(item.evidence_id) != record_of(mark.evidence_id)
    if statement is not None and item.effective.is_after(mark.time) and not (statement.value is None and is_of_another):
        return True
    is_same_payload = (item.evidence_id, item.effective.earliest, item.content) == (mark.evidence_id, mark.effective, mark.content)
    return whole and is_same_payload and (item.received is not None or item.mapping != mark.mapping)


def _is_older(effective: Time, mark: Unreadable | None, before: Assertion | None, joined: datetime | None) -> bool:
    """Whether newer evidence is known. Before a merge, evidence of one record is not older because of the other's."""
    if mark is not None and effective.is_before(mark.time):
        return True
    if before is None or not effective.is_before(before.effective):
        return False
    return joined is None or before.effective.is_after(times.at(joined)) or effective.is_after(times.at(joined))
