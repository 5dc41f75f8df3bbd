"""What of a message is said, and what of it nothing reads. Pure; for the engineer's own screen, so it shows values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from adapters.base import Item
from adapters.hl7v2.path import Path
from adapters.hl7v2.reader import ENVELOPE, Message
from store.preference import PatientMerge, PatientStatements

# What the standard mapping reads. MSH and EVN carry the message, not the patient.
STANDARD = {"PID": frozenset({2, 3, 5, 13, 14, 15, 29, 30, 33, 40}), "PD1": frozenset({12}), "MRG": frozenset({1})}
CARRIERS = frozenset({"MSH", "EVN", *ENVELOPE})


def stated(items: Iterable[Item]) -> list[tuple[str, Any, str]]:
    """(attribute, value, path) of everything the items say; identifiers first."""
    return [row for item in items for row in _rows(item)]


def unused(message: Message, paths: Sequence[Path]) -> list[tuple[str, str]]:
    """(path, text) of every valued field that neither the standard mapping nor a rule reads."""
    read = {(path.segment, path.field) for path in paths}
    read |= {(segment, field) for segment, fields in STANDARD.items() for field in fields}
    return [
        (f"{at}-{number}", text)
        for name, at, fields in _segments(message)
        for number, text in enumerate(fields[1:], 1)
        if text and (name, number) not in read
    ]


def _segments(message: Message) -> Iterator[tuple[str, str, list[str]]]:
    for name in message.names:
        if name not in CARRIERS and name.isalnum():
            found = message.segments(name)
            for number, fields in enumerate(found, 1):
                yield name, name if len(found) == 1 else f"{name}[{number}]", fields


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
