"""What of a message is said, and what of it nothing reads. Pure; for the engineer's own screen, so it shows values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from adapters.base import Item
from adapters.hl7v2 import xtn
from adapters.hl7v2.path import Path
from adapters.hl7v2.reader import ENVELOPE, Message
from store.preference import PatientMerge, PatientStatements


class _Reader(NamedTuple):
    """What reads a field: components of every repetition, or of one. Without components it reads the first, else the whole."""

    components: frozenset[int]
    repetition: int | None = None

    def reads(self, repetition: int, component: int, parts: Sequence[str]) -> bool:
        if self.repetition not in (None, repetition):
            return False
        return component in self.components if self.components else component == 1 or not parts[0]


CX, XPN, CODE, TIME = (_Reader(frozenset(components)) for components in ((1, 4, 5, 8), (1, 2, 3, 4, 7), (1, 2), (1,)))
XTN = _Reader(frozenset(at + 1 for at in (*xtn.READ, xtn.REMARK)))
# What the standard mapping reads. MSH and EVN carry the message, not the patient.
STANDARD = {
    **{("PID", field): CX for field in (2, 3)},
    ("PID", 5): XPN,
    **{("PID", field): XTN for field in (13, 14, 40)},
    ("PID", 15): _Reader(frozenset(range(1, 7)), repetition=1),
    **{("PID", field): TIME for field in (7, 29, 33)},
    **dict.fromkeys((("PID", 30), ("PD1", 12)), CODE),
    ("MRG", 1): CX,
}
CARRIERS = frozenset({"MSH", "EVN", *ENVELOPE})
SHOWN = 120  # characters of a component


def stated(items: Iterable[Item]) -> list[tuple[str, Any, str]]:
    """(attribute, value, path) of everything the items say; identifiers first."""
    return [row for item in items for row in _rows(item)]


def unused(message: Message, paths: Sequence[Path]) -> list[tuple[str, str]]:
    """(path, text) of valued fields, and of valued components in fields that are read, that neither the standard nor a rule reads."""
    return [row for name, number, at, fields in _segments(message) for row in _unread(message, name, number, at, fields, paths)]


def _segments(message: Message) -> Iterator[tuple[str, int, str, list[str]]]:
    for name in message.names:
        if name not in CARRIERS and name.isalnum():
            found = message.segments(name)
            for number, fields in enumerate(found, 1):
                yield name, number, name if len(found) == 1 else f"{name}[{number}]", fields


def _unread(message: Message, name: str, number: int, at: str, fields: Sequence[str], paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for field, text in enumerate(fields[1:], 1):
        readers = _readers(name, number, field, paths)
        if text and readers:
            yield from _unread_components(message, f"{at}-{field}", text, readers)
        elif text:
            yield f"{at}-{field}", text


def _readers(name: str, number: int, field: int, paths: Sequence[Path]) -> list[_Reader]:
    here = [path for path in paths if (path.segment, path.field) == (name, field) and path.occurrence in (None, number)]
    ruled = [_Reader(frozenset({path.component} if path.component else ()), path.repetition) for path in here]
    return [*ruled, STANDARD[name, field]] if (name, field) in STANDARD else ruled


def _unread_components(message: Message, at: str, field: str, readers: Sequence[_Reader]) -> Iterator[tuple[str, str]]:
    """Of all repetitions together, unless one is left out that others have read."""
    repetitions = [text.split(message.delimiters.component) for text in field.split(message.delimiters.repetition)]
    read = {
        (number, component)
        for number, parts in enumerate(repetitions, 1)
        for component in range(1, len(parts) + 1)
        if any(reader.reads(number, component, parts) for reader in readers)
    }
    unread: dict[str, list[str]] = {}
    for number, parts in enumerate(repetitions, 1):
        if not any(one == number for one, _ in read):
            unread[f"{at}[{number}]"] = [message.delimiters.component.join(parts)]
            continue
        for component, text in enumerate(parts, 1):
            if text and (number, component) not in read:
                place = f"{at}[{number}]" if any(other == component for _, other in read) else at
                unread.setdefault(f"{place}.{component}", []).append(text)
    return ((path, _short("~".join(texts))) for path, texts in unread.items() if any(texts))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _rows(item: Item) -> Iterator[tuple[str, Any, str]]:
    if isinstance(item, PatientStatements):
        for identifier in item.identifiers:
            yield "identifier", "|".join(identifier), "PID-3"
        for attribute, statement in item.statements.items():
            yield attribute, statement.value, statement.path
    elif isinstance(item, PatientMerge):
        for identifier in item.survivor:
            yield "survivor", "|".join(identifier), "PID-3"
        for identifier in item.merged:
            yield "merged", "|".join(identifier), "MRG-1"
