"""Messages with a line that is no segment: most likely a carriage return cut a field in two. Pure.

Such a message is read twice: as it came, without those lines, and with each of them put back behind the segment before it. What both
readings state is stated. Where they differ, a refusal of either is stated; a permission of one is not trusted, and is a problem of
its attribute. The line itself is a problem of the message, so it is never dropped in silence.

A line like ``DNC|T`` looks like a segment whose name no standard knows. It may well be a site's own, so only a refusal that the message
does not state otherwise is taken from the second reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from adapters.base import Filtered, Item, Unmappable
from adapters.hl7v2.delimiters import delimiters_of
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import DOUBTFUL, Message, line_kind
from adapters.mapping.refusals import refusal, refuses
from store.preference import Codes, PatientMerge, PatientStatements, Problem, Statement, base

REASON = "line_not_a_segment"
DETAIL = "a line of the message is not a segment: a carriage return inside a field? Values that stop contact were applied"
NO_CODES: Mapping[str, Codes] = {}
Read = Callable[[Message], list[Item]]
Statements = Mapping[str, Statement]


def items(message: Message, read: Read) -> list[Item]:
    """What the message states. ``read`` reads a whole one. Raises :class:`UnusableMessage` when neither reading can be used."""
    came, whole = _tried(message, read), _tried(joined(message), read)
    if isinstance(came, list) and message.oddity == DOUBTFUL and not any(isinstance(item, Unmappable) for item in came):
        return list(_with_refusals(came, whole if isinstance(whole, list) else []))
    if isinstance(came, UnusableMessage) and not _states(whole):
        raise UnusableMessage(came.reason, f"{came.detail}; {DETAIL.partition('?')[0]}", came.path)
    if isinstance(whole, UnusableMessage):
        whole = []
    return _reconciled(came if isinstance(came, list) else [], whole)


def leave_unread(unread: Mapping[str, str], statements: dict[str, Statement], problems: list[Problem], codes: dict[str, Codes]) -> None:
    """Nothing but a refusal is stated of attributes that may be read in a line that is no segment. ``unread``: each with its segment."""
    for attribute, segment in unread.items():
        for name in [name for name, one in statements.items() if base(name) == attribute and not refuses(name, one.value)]:
            del statements[name]
        for name in [name for name in codes if base(name) == attribute and name not in statements]:
            del codes[name]
        if attribute not in statements:
            problems.append(
                Problem(REASON, segment, f"a line that is not a segment may be {segment}: correct its name at the sender", attribute)
            )


def joined(message: Message) -> Message | UnusableMessage:
    """The message with each odd line behind the segment before it; several that make a segment together are one of their own."""
    lines: list[str] = []
    odd: list[str] = []
    for line in (*message.raw, None):
        if line is not None and line_kind(line, message.delimiters.field):
            odd.append(line)
            continue
        if odd:
            at = next((at for at in range(len(odd)) if not line_kind("".join(odd[at:]), message.delimiters.field)), len(odd))
            lines[-1] += "".join(odd[:at])
            lines += ["".join(odd[at:])] if at < len(odd) else []
            odd = []
        if line is not None:
            lines.append(line)
    try:
        return Message(lines, delimiters_of(lines[0]), message.codec, damaged=message.damaged)
    except UnusableMessage as error:
        return error


def _tried(message: Message | UnusableMessage, read: Read) -> list[Item] | UnusableMessage:
    if isinstance(message, UnusableMessage):
        return message
    try:
        return read(message)
    except UnusableMessage as error:
        return error


def _states(read: list[Item] | UnusableMessage) -> bool:
    return isinstance(read, list) and any(isinstance(item, PatientStatements | PatientMerge) for item in read)


def _with_refusals(came: Sequence[Item], whole: Sequence[Item]) -> Iterator[Item]:
    others = [item for item in whole if isinstance(item, PatientStatements)]
    for item in came:
        other = others.pop(0) if others and isinstance(item, PatientStatements) else None
        if isinstance(item, PatientStatements) and other is not None and other.identifiers == item.identifiers:
            more = {name: one for name, one in _refusals(other).items() if name not in item.statements}
            codes = {name: one for name, one in item.codes.items() if name not in more}
            item = _settled(item, {**item.statements, **more}, (), codes) if more else item
        yield item


def _reconciled(came: list[Item], whole: list[Item]) -> list[Item]:
    merges = [item for item in came if isinstance(item, PatientMerge)]
    if merges != [item for item in whole if isinstance(item, PatientMerge)]:
        merges = []
        found: list[Item] = [_unusable(came, whole)]
    else:
        found = list(merges)
    here, there = ([item for item in side if isinstance(item, PatientStatements)] for side in (came, whole))
    found += [_both(one, other) for one, other in _pairs(here, there)]
    told = {(item.reason, item.path) for item in whole if isinstance(item, Unmappable)}
    found += [item for item in came if isinstance(item, Unmappable) and (item.reason, item.path) in told and item not in found]
    if not found and came and all(isinstance(item, Filtered) for item in (*came, *whole)):
        return came
    if not any(isinstance(item, PatientStatements | Unmappable) for item in found):
        found.append(_told(merges[0]) if merges else _unusable(came, whole))
    return found


def _pairs(
    here: list[PatientStatements], there: list[PatientStatements]
) -> Iterator[tuple[PatientStatements | None, PatientStatements | None]]:
    for at in range(max(len(here), len(there))):
        yield here[at] if at < len(here) else None, there[at] if at < len(there) else None


def _both(came: PatientStatements | None, whole: PatientStatements | None) -> PatientStatements:
    """What two readings of one patient come to. Of a patient whom only one reading names, or at another time, only refusals."""
    item = whole or came
    if item is None:
        raise ValueError("there is a reading on one side at least")
    if came is None or whole is None or came.identifiers != whole.identifiers:
        stated = _refusals(item)
        return _settled(item, stated, (*_distrusted({}, item.statements, stated),))
    both = {name: one for name, one in whole.statements.items() if came.statements.get(name) == one}
    if came.effective != whole.effective:
        both = {}
    stated = {**both, **_refusals(came), **_refusals(whole)}
    problems = (*came.problems, *whole.problems, *_distrusted(came.statements, whole.statements, stated))
    kept = [name for name, one in whole.codes.items() if came.codes.get(name) == one and (name in both or one.silent)]
    codes = {name: whole.codes[name] for name in kept if both.get(name) == stated.get(name)}
    return _settled(replace(whole, restricted=came.restricted or whole.restricted), stated, problems, codes)


def _settled(
    item: PatientStatements, stated: dict[str, Statement], problems: Sequence[Problem], codes: Mapping[str, Codes] = NO_CODES
) -> PatientStatements:
    """A problem of an attribute that is stated after all is none.

    ``codes``: what another mapping may read again. A refusal of one reading has none: that mapping may make a permission of them, and a
    permission of one reading is not trusted.
    """
    open_ones = [one for one in (*item.problems, *problems) if not one.attribute or one.attribute not in stated]
    return replace(item, statements=stated, codes=codes, problems=tuple(dict.fromkeys((Problem(REASON, "", DETAIL), *open_ones))))


def _distrusted(came: Statements, whole: Statements, stated: Statements) -> Iterator[Problem]:
    for name, one in {**came, **whole}.items():
        if name not in stated and refusal(name) is not None:
            yield Problem(REASON, one.path, "values that would permit contact are not trusted because a line is not a segment", name)


def _refusals(item: PatientStatements) -> dict[str, Statement]:
    return {name: one for name, one in item.statements.items() if refuses(name, one.value)}


def _told(merge: PatientMerge) -> PatientStatements:
    problems = (Problem(REASON, "", DETAIL),)
    return PatientStatements(merge.survivor, {}, merge.effective, merge.evidence_id, problems=problems, locator=merge.locator)


def _unusable(came: Sequence[Item], whole: Sequence[Item]) -> Unmappable:
    found = next((item for item in (*came, *whole) if isinstance(item, Unmappable)), None)
    return found or Unmappable(REASON, "a line of the message is not a segment, and it can be read in two ways", (*came, *whole)[0].locator)
