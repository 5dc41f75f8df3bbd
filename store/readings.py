"""The codes that an authority sent, beside what they were mapped to, so that another mapping can read them (product rule 5.8). Pure.

Of each attribute the distinct codes are kept, each at the newest time at which it came. When the mapping of a source changes, what is in
force is folded again from them: the same rules of order as if today's mapping had read every one. What came without codes, or before
codes were kept, or from a field that today's mapping does not read, counts as it was read then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from store import merge, times, unreadable
from store.merge import Held
from store.preference import Assertion, Codes, PatientStatements, Problem, Statement, base
from store.times import Time
from store.unreadable import Marks, Unreadable

MOST = 16
"""Distinct codes kept of one attribute; past that the oldest is dropped."""

STATED, SILENT, UNREAD = "stated", "silent", "unread"


class Reading(NamedTuple):
    """One code (or several at once) of one attribute, and what it was mapped to.

    ``codes`` is ``None`` for what came without. ``outcome``: ``stated`` a value, ``silent``, or ``unread`` (``value`` is then the reason).
    """

    codes: Codes | None
    outcome: str
    value: Any
    path: str
    effective: Time
    recorded: datetime
    evidence_id: str
    version: int
    restricted: bool


Readings = Mapping[str, tuple[Reading, ...]]
"""By attribute, the codes of one authority about one patient, in order of receipt."""

Read = tuple[Statement | None, Problem | None]


class Reader(Protocol):
    """How a source is read today."""

    @property
    def mapping(self) -> str:
        """The name of the mapping."""

    def reread(self, attribute: str, codes: Codes) -> Read | None:
        """What it says of the codes of an attribute; ``None`` where it does not read that field."""


Folded = dict[str, tuple[Reading, ...]]


def after(readings: Readings, item: PatientStatements, recorded: datetime, before: Held | None, marks: Marks) -> Folded:
    """The codes once an authority has stated one more payload. ``before``: what it held. ``marks``: what could not be read, with it."""
    kept = {name: tuple(one for one in ones if not _is_read_now(name, one, item, marks)) for name, ones in readings.items()}
    coded = [name for name, one in item.codes.items() if one.silent or name in item.statements or _is_unread(name, item)]
    known = (one for one in item.statements if one in kept and not _is_known(kept[one], item))
    unread = [one for one in unreadable.unread(item) if one in kept]  # its codes are not kept: they may be about the patient
    for name in dict.fromkeys((*coded, *known, *unread)):
        was = kept.get(name)
        was = _from_before(name, before) if was is None else was
        kept[name] = _with(was, _reading(name, item, recorded))
    return kept


def _is_read_now(name: str, one: Reading, item: PatientStatements, marks: Marks) -> bool:
    """Whether it could not be read of this very payload, which can be now."""
    return one.outcome == UNREAD and name not in marks and (one.evidence_id, one.effective) == (item.evidence_id, item.effective)


def current(readings: Readings, held: Held) -> Folded:
    """The codes, those of the last payload at the newest time at which it was stated again."""
    return {name: tuple(_current(one, held) for one in ones) for name, ones in readings.items()}


def without_codes(readings: Readings, said: Mapping[str, Assertion], marks: Marks) -> Folded:
    """The codes beside what came without: it counts whatever today's mapping says of them."""
    kept = dict(readings)
    for name in kept.keys() & said.keys():
        kept[name] = _with(kept[name], _asserted(said[name]))
    for name in kept.keys() & marks.keys():
        kept[name] = _with(kept[name], _marked(marks[name]))
    return kept


def joined(first: Readings, second: Readings) -> Folded:
    """The codes of two records that are one person: of each side only what nothing of that side is entirely newer than."""
    both: dict[str, tuple[Reading, ...]] = {}
    for name in {**first, **second}:
        sides = [_newest(side.get(name, ())) for side in (first, second)]
        found: tuple[Reading, ...] = ()
        for one in sorted((*sides[0], *sides[1]), key=lambda reading: reading.recorded):
            found = _with(found, one)
        both[name] = found
    return both


def fold(held: Held, readings: Readings, reader: Reader, joined: datetime | None) -> tuple[Held, Folded]:
    """What the authority asserts by today's mapping, and the codes with what they are mapped to now."""
    assertions = {name: one for name, one in held.current().items() if name not in readings}
    marks = {name: mark for name, mark in held.unreadable.items() if name not in readings}
    now = Held(assertions, held.confirmed, held.confirmed, held.seen, held.since, marks)
    again: dict[str, tuple[Reading, ...]] = {}
    for name, ones in readings.items():
        again[name] = tuple(_again(name, _current(one, held), reader) for one in ones)
        for one in sorted(again[name], key=lambda reading: reading.recorded):
            now = _told(now, name, one, joined, reader.mapping)
    same = {name: one for name, one in held.unreadable.items() if name in now.unreadable and one.time == now.unreadable[name].time}
    return replace(now, unreadable={**now.unreadable, **same}), again


def read_otherwise(was: Readings, now: Readings) -> list[PatientStatements]:
    """What another mapping than before says of the codes, each as the payload it came with."""
    pairs = ((name, pair) for name, ones in now.items() for pair in zip(was.get(name, ()), ones, strict=False))
    return [
        _item(name, new) for name, (old, new) in pairs if (old.outcome, old.value) != (new.outcome, new.value) and new.outcome == STATED
    ]


def _told(held: Held, name: str, one: Reading, joined: datetime | None, mapping: str) -> Held:
    item = replace(_item(name, one), mapping=mapping)
    then = replace(held, effective=one.effective, confirmed=one.effective)  # so that the later receipt counts
    merged = merge.merge(then, item, one.recorded, joined=joined)
    marks = unreadable.after(held.unreadable, held.assertions, item, whole=False)
    return Held(merged.assertions, held.effective, held.confirmed, held.seen, held.since, marks)


def _item(name: str, one: Reading) -> PatientStatements:
    stated = {name: Statement(one.value, one.path)} if one.outcome == STATED else {}
    problems = (Problem(str(one.value), one.path, "", name),) if one.outcome == UNREAD else ()
    return PatientStatements((), stated, one.effective, one.evidence_id, one.version, one.restricted, problems)


def _again(name: str, one: Reading, reader: Reader) -> Reading:
    read = reader.reread(name, one.codes) if one.codes is not None else None
    return one if read is None else _mapped(one, *read)


def _mapped(one: Reading, statement: Statement | None, problem: Problem | None) -> Reading:
    if statement is not None:
        return one._replace(outcome=STATED, value=statement.value, path=statement.path)
    if problem is not None:
        return one._replace(outcome=UNREAD, value=problem.reason, path=problem.path)
    return one._replace(outcome=SILENT, value=None)


def _reading(name: str, item: PatientStatements, recorded: datetime) -> Reading:
    statement = item.statements.get(name)
    problem = _is_unread(name, item)
    made = Reading(item.codes.get(name), SILENT, None, "", item.effective, recorded, item.evidence_id, item.version, item.restricted)
    return _mapped(made, statement, problem)


def _is_known(readings: tuple[Reading, ...], item: PatientStatements) -> bool:
    """Whether a statement without codes is one of the readings, let through after the brake had held it."""
    return any((one.evidence_id, one.effective) == (item.evidence_id, item.effective) for one in readings)


def _is_unread(name: str, item: PatientStatements) -> Problem | None:
    return next((one for one in item.problems if one.attribute and base(name) == base(one.attribute)), None)


def _from_before(name: str, held: Held | None) -> tuple[Reading, ...]:
    """What was asserted, or could not be read, before codes were kept."""
    if held is None:
        return ()
    said, mark = held.current().get(name), held.unreadable.get(name)
    return (*((_asserted(said),) if said is not None else ()), *((_marked(mark),) if mark is not None else ()))


def _asserted(said: Assertion) -> Reading:
    return Reading(None, STATED, said.value, said.path, said.effective, said.recorded, said.evidence_id, said.version, restricted=False)


def _marked(mark: Unreadable) -> Reading:
    return Reading(None, UNREAD, mark.reason, mark.path, mark.time, mark.time.latest, mark.evidence_id, 0, restricted=False)


def _with(readings: tuple[Reading, ...], new: Reading) -> tuple[Reading, ...]:
    """The same codes again count at the newer time, and are known by what brought them first."""
    same = next((one for one in readings if _key(one) == _key(new)), None)
    others = [one for one in readings if one is not same]
    if same is not None:
        evidence = same if not readings or readings[-1] is same else new
        new = new._replace(effective=times.newest(same.effective, new.effective), evidence_id=evidence.evidence_id)
        new = new._replace(version=max(same.version, new.version), recorded=max(same.recorded, new.recorded))
    if len(others) >= MOST:
        others.remove(min(others, key=lambda one: one.effective.latest))
    return (*others, new)


def _key(one: Reading) -> Any:
    if one.codes is not None:
        return one.codes, one.restricted
    return None, one.outcome, one.value, one.restricted, one.evidence_id if one.outcome == UNREAD else ""


def _newest(readings: Iterable[Reading]) -> list[Reading]:
    found = list(readings)
    return [one for one in found if not any(other.effective.is_after(one.effective) for other in found)]


def _current(one: Reading, held: Held) -> Reading:
    """A code of the last payload counts at the newest time at which that was stated again."""
    return one._replace(effective=held.confirmed) if one.effective == held.effective else one
