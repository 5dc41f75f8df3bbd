"""The codes that an authority sent, beside what they were mapped to, so that another mapping can read them (product rule 5.8). Pure.

The distinct codes of each attribute are kept, each with the last time it was stated. When the mapping of a source changes, its assertions
are computed again from them, by the same rules of order as if today's mapping had read every message. A statement without codes, from
before codes were kept, or from a field that today's mapping does not read counts as it was read then.

A Consent or a Flag has no codes: the statement of its newest version is kept in their place, so that the end of one leaves the others'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from store import times
from store.domain import ordering, unreadable
from store.domain.assertions import SourceAssertions, merge
from store.domain.ordering import VERSION, record_of
from store.domain.unreadable import Marks, Unreadable
from store.preference import Assertion, Codes, PatientStatements, Problem, Statement, base, refusal, refuses
from store.times import Time

MOST = 16
"""The most distinct codes kept for one attribute."""

RECORD = "record"
"""The place of the statement of a Consent or a Flag, kept with the mapping that read it."""

STATED, SILENT, UNREAD = "stated", "silent", "unread"


class Reading(NamedTuple):
    """One code (or several at once) of one attribute, and what it was mapped to.

    ``codes`` is ``None`` for a statement without any. ``outcome``: ``stated``, ``silent``, or ``unread`` (``value`` is then the reason).
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


_new = tuple.__new__  # see ``store.domain.assertions``

Readings = Mapping[str, tuple[Reading, ...]]
"""By attribute, the codes of one authority about one patient, in order of receipt."""

Read = tuple[Statement | None, Problem | None]


class CodeReader(Protocol):
    """Reads codes by today's mapping of a source."""

    @property
    def mapping(self) -> str:
        """The name of the mapping."""

    def reread(self, attribute: str, codes: Codes) -> Read | None:
        """The outcome of the codes of an attribute; ``None`` if the mapping does not read that field."""


def are_of_another_mapping(codes: str | None, reader: CodeReader | None) -> bool:
    """Whether codes, as they are stored, were read by another mapping than today's."""
    return codes is not None and reader is not None and not codes.startswith(f"{reader.mapping} ")


Folded = dict[str, tuple[Reading, ...]]


def after(readings: Readings, item: PatientStatements, recorded: datetime, before: SourceAssertions | None, marks: Marks) -> Folded:
    """The codes after one more payload of an authority. ``before``: what it held. ``marks``: with those of this payload."""
    kept = {name: _still_unread(name, ones, item, marks) for name, ones in readings.items()}
    if record_of(item.evidence_id):
        names = [name for name in item.statements if refusal(name) is not None or name in kept]
        return kept | {name: _with_record(name, kept.get(name) or _from_before(name, before), item, recorded) for name in names}
    unread = [one for one in unreadable.unread(item) if one in kept] if item.problems else ()
    for name in dict.fromkeys((*_coded(item), *_stated_again(item, kept), *unread)):
        former = kept.get(name)
        former = _from_before(name, before) if former is None else former
        kept[name] = _with(name, former, _reading(name, item, recorded))
    return kept


def _coded(item: PatientStatements) -> list[str]:
    """The attributes whose codes are kept. Of a restricted record all are, as another mapping may read them as refusals."""
    if ordering.withholds(item):
        return list(item.codes)
    return [name for name, codes in item.codes.items() if codes.silent or name in item.statements or _problem(name, item)]


def _stated_again(item: PatientStatements, kept: Readings) -> list[str]:
    """The attributes with kept codes that the payload states, unless it is known: an approved change, applied after it was held."""
    return [name for name, ones in kept.items() if name in item.statements and not _is_known(ones, item)]


def _still_unread(name: str, readings: tuple[Reading, ...], item: PatientStatements, marks: Marks) -> tuple[Reading, ...]:
    """The readings without those that could not be read from this very payload before, and can be now."""
    if name in marks or all(one.outcome != UNREAD for one in readings):
        return readings
    this = item.evidence_id, item.effective
    return tuple([one for one in readings if one.outcome != UNREAD or (one.evidence_id, one.effective) != this])


def current(readings: Readings, asserted: SourceAssertions) -> Folded:
    """The codes, those of the last payload with the time it was confirmed."""
    if asserted.confirmed == asserted.effective:
        return dict(readings)
    return {name: tuple([_current(one, asserted) for one in ones]) for name, ones in readings.items()}


def without_codes(readings: Readings, assertions: Mapping[str, Assertion], marks: Marks) -> Folded:
    """The codes with assertions and marks that came without any: they count whatever today's mapping makes of the codes."""
    kept = dict(readings)
    for name in kept.keys() & assertions.keys():
        kept[name] = _with(name, kept[name], _asserted(assertions[name]))
    for name in kept.keys() & marks.keys():
        kept[name] = _with(name, kept[name], _marked(marks[name]))
    return kept


def joined(first: Readings, second: Readings) -> Folded:
    """The codes of two merged records: of each side only those that nothing of that side is entirely newer than.

    Of what was received at once the first record's go last, so that they win a tie, as in ``assertions.join``.
    """
    both: dict[str, tuple[Reading, ...]] = {}
    for name in {**first, **second}:
        sides = [_newest(side.get(name, ())) for side in (first, second)]
        found: tuple[Reading, ...] = ()
        for one in sorted((*sides[1], *sides[0]), key=lambda reading: reading.recorded):
            found = _with_of_other(name, found, one) if not record_of(one.evidence_id) else _joined(name, found, one)
        both[name] = found
    return both


def is_outdated(readings: tuple[Reading, ...], item: PatientStatements) -> bool:
    """Whether a payload's own codes are among the readings of an attribute, and newer ones, too."""
    return _is_known(readings, item) and any(not record_of(one.evidence_id) and one.effective.is_after(item.effective) for one in readings)


def fold(asserted: SourceAssertions, readings: Readings, reader: CodeReader, joined: datetime | None) -> tuple[SourceAssertions, Folded]:
    """The authority's assertions by today's mapping, and the codes with what they are mapped to now."""
    assertions = {name: one for name, one in asserted.current().items() if name not in readings}
    marks = {name: mark for name, mark in asserted.unreadable.items() if name not in readings or _has_records(readings[name])}
    now = SourceAssertions(assertions, asserted.confirmed, asserted.confirmed, asserted.seen, asserted.since, marks)
    again: dict[str, tuple[Reading, ...]] = {}
    for name, ones in readings.items():
        again[name] = tuple(_again(name, _current(one, asserted), reader) for one in ones)
        now = _with_readings(now, name, again[name], joined, reader.mapping)
    kept = {name: one for name, one in asserted.unreadable.items() if name in now.unreadable and _is_same_mark(one, now.unreadable[name])}
    same = {name: one for name, one in kept.items() if _are_read_alike(readings.get(name, ()), again.get(name, ()))}
    return replace(now, unreadable={**now.unreadable, **same}), again


def _is_same_mark(one: Unreadable, other: Unreadable) -> bool:
    return (one.evidence_id, one.time) == (other.evidence_id, other.time)


def _are_read_alike(before: tuple[Reading, ...], now: tuple[Reading, ...]) -> bool:
    """Whether the same readings are unreadable as before. If not, a mark may be another payload's, of the same control id and time."""
    return [one.outcome == UNREAD for one in before] == [one.outcome == UNREAD for one in now]


def assertion_of(name: str, readings: tuple[Reading, ...], joined: datetime | None, mapping: str) -> Assertion | None:
    """The assertion of an attribute by all its readings; ``None`` if all were taken back."""
    nothing = times.at(times.BEGINNING)
    found = _with_readings(SourceAssertions({}, nothing, nothing, "", times.BEGINNING), name, readings, joined, mapping).assertions.get(
        name
    )
    return found if found is not None and found.value is not None else None


def _with_readings(
    asserted: SourceAssertions, name: str, readings: tuple[Reading, ...], joined: datetime | None, mapping: str
) -> SourceAssertions:
    """Merges the readings of one attribute in order of receipt; of Consents and Flags, which count until they end, those in force."""
    for one in sorted((one for one in readings if not record_of(one.evidence_id)), key=lambda one: one.recorded):
        asserted = _with_reading(asserted, name, one, joined, mapping)
    of_records = [one for one in readings if record_of(one.evidence_id)]
    in_force = [one for one in of_records if one.value is not None]
    if in_force and name in asserted.assertions and asserted.assertions[name].value is None:
        asserted = replace(asserted, assertions={key: one for key, one in asserted.assertions.items() if key != name})
    for one in sorted(in_force or (() if name in asserted.assertions else of_records), key=lambda one: one.recorded):
        asserted = _with_reading(asserted, name, one, joined, read_by(one) or mapping)
    return asserted


def evidence(one: Reading) -> tuple[Any, ...]:
    """What tells one code's statement from every other one, whatever it is mapped to."""
    return one.codes, one.effective, one.recorded, one.evidence_id


def of_record(readings: tuple[Reading, ...], record: str) -> Reading | None:
    """The reading of a Consent or Flag."""
    return next((one for one in readings if record_of(one.evidence_id) == record), None)


def read_by(one: Reading) -> str:
    """The mapping that read a Consent or a Flag; empty if that is not known."""
    return str(one.codes.found[0][0]) if one.codes is not None and one.codes.place == RECORD else ""


def _has_records(readings: tuple[Reading, ...]) -> bool:
    return any(record_of(one.evidence_id) for one in readings)


def _with_record(name: str, readings: tuple[Reading, ...], item: PatientStatements, recorded: datetime) -> tuple[Reading, ...]:
    """The readings with the newest version of a Consent or Flag; if nobody can tell which that is, with the one that refuses."""
    statement = item.statements[name]
    codes = Codes(RECORD, ((item.mapping, statement.path),))
    new = Reading(codes, STATED, statement.value, statement.path, item.effective, recorded, item.evidence_id, item.version, item.restricted)
    old = of_record(readings, record_of(item.evidence_id))
    if old is not None and not _replaces(name, new, old, is_due=name in item.codes):
        return readings
    others = [one for one in readings if one is not old]
    if len(others) >= MOST:
        others.remove(min(others, key=lambda one: (refuses(name, one.value), one.effective.latest)))
    return (*others, new)


def _replaces(name: str, new: Reading, old: Reading, *, is_due: bool) -> bool:
    """Whether a reading replaces another one of the same record. ``is_due``: a period of it has begun or ended."""
    is_read_again = VERSION in new.evidence_id and read_by(new) != read_by(old)
    if new.evidence_id == old.evidence_id and (is_due or is_read_again):
        return True
    newer = ordering.is_newer(_item(name, new), _assertion(old))
    return ordering.wins(name, new.value, old.value, received_later=True) if newer is None else newer


def _assertion(one: Reading) -> Assertion:
    return Assertion(one.value, one.effective, one.recorded, one.evidence_id, one.path, one.version)


def read_otherwise(before: Readings, now: Readings) -> list[PatientStatements]:
    """The changed readings, each as the payload it came with. A statement that is gone is taken back."""
    pairs = ((name, pair) for name, ones in now.items() for pair in zip(before.get(name, ()), ones, strict=False))
    changed = [(name, old, new) for name, (old, new) in pairs if (old.outcome, old.value) != (new.outcome, new.value)]
    return [_item(name, new if _states(new) else _cleared(old)) for name, old, new in changed if _states(new) or _states(old)]


def _states(one: Reading) -> bool:
    return one.outcome == STATED and not (one.restricted and one.value is None)


def _cleared(one: Reading) -> Reading:
    return one._replace(value=None, restricted=False)


def _with_reading(asserted: SourceAssertions, name: str, one: Reading, joined: datetime | None, mapping: str) -> SourceAssertions:
    item = replace(_item(name, one), mapping=mapping)
    before = replace(asserted, effective=one.effective, confirmed=one.effective)  # so that the later receipt counts
    merged = merge(before, item, one.recorded, joined=joined)
    marks = unreadable.after(asserted.unreadable, asserted.assertions, item, whole=False, joined=joined)
    return SourceAssertions(merged.assertions, asserted.effective, asserted.confirmed, asserted.seen, asserted.since, marks)


def _item(name: str, one: Reading) -> PatientStatements:
    stated = {name: Statement(one.value, one.path)} if one.outcome == STATED else {}
    problems = (Problem(str(one.value), one.path, "", name),) if one.outcome == UNREAD else ()
    return PatientStatements((), stated, one.effective, one.evidence_id, one.version, one.restricted, problems)


def _again(name: str, one: Reading, reader: CodeReader) -> Reading:
    read = reader.reread(name, one.codes) if one.codes is not None else None
    return one if read is None else _mapped(one, *read)


def _mapped(one: Reading, statement: Statement | None, problem: Problem | None) -> Reading:
    outcome, value, path = _outcome(statement, problem, one.path)
    return one._replace(outcome=outcome, value=value, path=path)


def _outcome(statement: Statement | None, problem: Problem | None, path: str) -> tuple[str, Any, str]:
    if statement is not None:
        return STATED, statement.value, statement.path
    return (UNREAD, problem.reason, problem.path) if problem is not None else (SILENT, None, path)


def _reading(name: str, item: PatientStatements, recorded: datetime) -> Reading:
    outcome = _outcome(item.statements.get(name), _problem(name, item), "")
    evidence = (item.effective, recorded, item.evidence_id, item.version, ordering.withholds(item))
    return _new(Reading, (item.codes.get(name), *outcome, *evidence))


def _is_known(readings: tuple[Reading, ...], item: PatientStatements) -> bool:
    """Whether a statement is one of the readings already."""
    return any(one.evidence_id == item.evidence_id and one.effective == item.effective for one in readings)


def _problem(name: str, item: PatientStatements) -> Problem | None:
    if not item.problems:
        return None
    return next((one for one in item.problems if one.attribute and base(name) == base(one.attribute)), None)


def _from_before(name: str, asserted: SourceAssertions | None) -> tuple[Reading, ...]:
    """The assertion and the mark from before codes were kept."""
    if asserted is None:
        return ()
    one, mark = asserted.current().get(name), asserted.unreadable.get(name)
    return (*((_asserted(one),) if one is not None else ()), *((_marked(mark),) if mark is not None else ()))


def _asserted(one: Assertion) -> Reading:
    return Reading(None, STATED, one.value, one.path, one.effective, one.recorded, one.evidence_id, one.version, restricted=False)


def _marked(mark: Unreadable) -> Reading:
    return Reading(None, UNREAD, mark.reason, mark.path, mark.time, mark.time.latest, mark.evidence_id, 0, restricted=False)


def _with(name: str, readings: tuple[Reading, ...], new: Reading) -> tuple[Reading, ...]:
    """The readings with one more. The same codes again count at the newer time, with the evidence that first brought them.

    Past :data:`MOST` the oldest is dropped: first of those that state nothing, last of those that refuse or could.
    """
    key = _key(new)
    same = next((one for one in readings if _key(one) == key), None)
    if same is not None and _is_no_news(new, same, is_last=readings[-1] is same):
        return readings
    others = [one for one in readings if one is not same]
    if same is not None:
        evidence = same if not readings or readings[-1] is same else new
        new = new._replace(
            effective=times.newest(same.effective, new.effective), recorded=max(same.recorded, new.recorded),
            evidence_id=evidence.evidence_id, version=max(same.version, new.version),
        )  # fmt: skip
    if len(others) >= MOST:
        others.remove(min(others, key=lambda one: (_weight(name, one), one.effective.latest)))
    return (*others, new)


def _is_no_news(new: Reading, same: Reading, *, is_last: bool) -> bool:
    """Whether known codes come late, with the message that brought them, or again without anything received between."""
    is_again = (new.effective, new.version) == (same.effective, same.version) and (is_last or new.evidence_id == same.evidence_id)
    return is_again or new.effective.is_before(same.effective)


def _weight(name: str, one: Reading) -> int:
    if one.outcome == UNREAD or (one.outcome == STATED and refuses(name, one.value)):
        return 2
    return 1 if one.outcome == STATED else 0


def _key(one: Reading) -> Any:
    if one.codes is not None:
        return one.codes, one.restricted
    return None, one.outcome, one.value, one.restricted, one.evidence_id if one.outcome == UNREAD else ""


def _newest(readings: Iterable[Reading]) -> list[Reading]:
    """The readings that nothing is entirely newer than, and those of every Consent and Flag."""
    found = list(readings)
    return [one for one in found if record_of(one.evidence_id) or not any(other.effective.is_after(one.effective) for other in found)]


def _with_of_other(name: str, readings: tuple[Reading, ...], one: Reading) -> tuple[Reading, ...]:
    """The readings of two patients with one more. The same codes of both have the evidence of the one that was received last."""
    found = _with(name, readings, one)
    return found if found is readings else (*found[:-1], found[-1]._replace(evidence_id=one.evidence_id))


def _joined(name: str, readings: tuple[Reading, ...], one: Reading) -> tuple[Reading, ...]:
    """The readings of two patients with that of a record, which both may have."""
    old = of_record(readings, record_of(one.evidence_id))
    if old is not None and not _replaces(name, one, old, is_due=False):
        return readings
    return (*(other for other in readings if other is not old), one)


def _current(one: Reading, asserted: SourceAssertions) -> Reading:
    """A code of the last payload counts at the time that payload was confirmed."""
    return _new(Reading, (*one[:4], asserted.confirmed, *one[5:])) if one.effective == asserted.effective else one
