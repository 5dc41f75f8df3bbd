"""Reads messages with lines that are not segments, probably because a field contains a carriage return. Pure.

Such a message is read twice: as received without those lines, and with each line rejoined to the segment before it. Statements that both
readings share are used. If the readings differ, a refusal in either is used. A permission in only one is not trusted and becomes a
problem of its attribute. The line itself is a problem of the message, so it is never dropped silently.

A line such as ``DNC|T`` looks like a segment with a non-standard name. It may be local to the site, so only refusals of attributes that the
first reading does not state are taken from the second reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from adapters.base import Filtered, Item, Unmappable
from adapters.hl7v2.delimiters import delimiters_of
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import DOUBTFUL, Message, line_kind
from store.preference import Codes, PatientMerge, PatientStatements, Problem, Statement, base, refusal, refuses

REASON = "line_not_a_segment"
DETAIL = "a line of the message is not a segment: a carriage return inside a field? Values that stop contact were applied"
NO_CODES: Mapping[str, Codes] = {}
ReadMessage = Callable[[Message], list[Item]]
Statements = Mapping[str, Statement]


def items(message: Message, read: ReadMessage) -> list[Item]:
    """The items of both readings, reconciled. ``read`` reads a complete message. Raises :class:`UnusableMessage` if neither is usable."""
    received, rejoined = _attempted(message, read), _attempted(rejoin(message), read)
    if isinstance(received, list) and message.oddity == DOUBTFUL and not any(isinstance(item, Unmappable) for item in received):
        return list(_with_refusals(received, rejoined if isinstance(rejoined, list) else []))
    if isinstance(received, UnusableMessage) and not _states(rejoined):
        raise UnusableMessage(received.reason, f"{received.detail}; {DETAIL.partition('?')[0]}", received.path)
    if isinstance(rejoined, UnusableMessage):
        rejoined = []
    return _reconciled(received if isinstance(received, list) else [], rejoined)


def leave_unread(unread: Mapping[str, str], statements: dict[str, Statement], problems: list[Problem], codes: dict[str, Codes]) -> None:
    """Keeps only refusals of attributes that may be in an unread line. ``unread`` maps each of these attributes to its segment."""
    for attribute, segment in unread.items():
        for name in [name for name, one in statements.items() if base(name) == attribute and not refuses(name, one.value)]:
            del statements[name]
        for name in [name for name in codes if base(name) == attribute and name not in statements]:
            del codes[name]
        if attribute not in statements:
            problems.append(
                Problem(REASON, segment, f"a line that is not a segment may be {segment}: correct its name at the sender", attribute)
            )


def rejoin(message: Message) -> Message | UnusableMessage:
    """The message with each odd line joined to the segment before it. Odd lines that together form a segment become a segment."""
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


def _attempted(message: Message | UnusableMessage, read: ReadMessage) -> list[Item] | UnusableMessage:
    if isinstance(message, UnusableMessage):
        return message
    try:
        return read(message)
    except UnusableMessage as error:
        return error


def _states(read: list[Item] | UnusableMessage) -> bool:
    return isinstance(read, list) and any(isinstance(item, PatientStatements | PatientMerge) for item in read)


def _with_refusals(received: Sequence[Item], rejoined: Sequence[Item]) -> Iterator[Item]:
    """The items of the first reading, with refusals that only the second reading states."""
    others = [item for item in rejoined if isinstance(item, PatientStatements)]
    for item in received:
        other = others.pop(0) if others and isinstance(item, PatientStatements) else None
        if isinstance(item, PatientStatements) and other is not None and other.identifiers == item.identifiers:
            more = {name: one for name, one in _refusals(other).items() if name not in item.statements}
            codes = {name: one for name, one in item.codes.items() if name not in more}
            item = _with_statements(item, {**item.statements, **more}, (), codes) if more else item
        yield item


def _reconciled(received: list[Item], rejoined: list[Item]) -> list[Item]:
    """The items of two readings. Merges are used only if both readings have them."""
    merges = [item for item in received if isinstance(item, PatientMerge)]
    if merges != [item for item in rejoined if isinstance(item, PatientMerge)]:
        merges = []
        found: list[Item] = [_unusable(received, rejoined)]
    else:
        found = list(merges)
    first, second = ([item for item in side if isinstance(item, PatientStatements)] for side in (received, rejoined))
    found += [_reconciled_pair(one, other) for one, other in _pairs(first, second)]
    reported = {(item.reason, item.path) for item in rejoined if isinstance(item, Unmappable)}
    found += [item for item in received if isinstance(item, Unmappable) and (item.reason, item.path) in reported and item not in found]
    if not found and received and all(isinstance(item, Filtered) for item in (*received, *rejoined)):
        return received
    if not any(isinstance(item, PatientStatements | Unmappable) for item in found):
        found.append(_line_problem(merges[0]) if merges else _unusable(received, rejoined))
    return found


def _pairs(
    first: list[PatientStatements], second: list[PatientStatements]
) -> Iterator[tuple[PatientStatements | None, PatientStatements | None]]:
    for at in range(max(len(first), len(second))):
        yield first[at] if at < len(first) else None, second[at] if at < len(second) else None


def _reconciled_pair(received: PatientStatements | None, rejoined: PatientStatements | None) -> PatientStatements:
    """Reconciles two readings of one patient. If only one reading has the patient, or the times differ, only refusals are used."""
    item = rejoined or received
    if item is None:
        raise ValueError("at least one reading is needed")
    if received is None or rejoined is None or received.identifiers != rejoined.identifiers:
        stated = _refusals(item)
        return _with_statements(item, stated, (*_untrusted_problems({}, item.statements, stated),))
    agreed = {name: one for name, one in rejoined.statements.items() if received.statements.get(name) == one}
    if received.effective != rejoined.effective:
        agreed = {}
    stated = {**agreed, **_refusals(received), **_refusals(rejoined)}
    problems = (*received.problems, *rejoined.problems, *_untrusted_problems(received.statements, rejoined.statements, stated))
    kept = [name for name, one in rejoined.codes.items() if received.codes.get(name) == one and (name in agreed or one.silent)]
    codes = {name: rejoined.codes[name] for name in kept if agreed.get(name) == stated.get(name)}
    return _with_statements(replace(rejoined, restricted=received.restricted or rejoined.restricted), stated, problems, codes)


def _with_statements(
    item: PatientStatements, stated: dict[str, Statement], problems: Sequence[Problem], codes: Mapping[str, Codes] = NO_CODES
) -> PatientStatements:
    """The item with other statements, and without problems of attributes that are stated after all.

    ``codes`` may be read again by another mapping. A refusal from only one reading has none: another mapping could turn its code into a
    permission, and a permission from one reading is not trusted.
    """
    unresolved = [one for one in (*item.problems, *problems) if not one.attribute or one.attribute not in stated]
    return replace(item, statements=stated, codes=codes, problems=tuple(dict.fromkeys((Problem(REASON, "", DETAIL), *unresolved))))


def _untrusted_problems(received: Statements, rejoined: Statements, stated: Statements) -> Iterator[Problem]:
    for name, one in {**received, **rejoined}.items():
        if name not in stated and refusal(name) is not None:
            yield Problem(REASON, one.path, "values that would permit contact are not trusted because a line is not a segment", name)


def _refusals(item: PatientStatements) -> dict[str, Statement]:
    return {name: one for name, one in item.statements.items() if refuses(name, one.value)}


def _line_problem(merge: PatientMerge) -> PatientStatements:
    """An item for the survivor of a merge that only reports the line."""
    problems = (Problem(REASON, "", DETAIL),)
    return PatientStatements(merge.survivor, {}, merge.effective, merge.evidence_id, problems=problems, locator=merge.locator)


def _unusable(received: Sequence[Item], rejoined: Sequence[Item]) -> Unmappable:
    found = next((item for item in (*received, *rejoined) if isinstance(item, Unmappable)), None)
    return found or Unmappable(
        REASON, "a line of the message is not a segment, and it can be read in two ways", (*received, *rejoined)[0].locator
    )
