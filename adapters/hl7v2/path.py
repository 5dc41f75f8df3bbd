"""Paths into a message: ``ZCP-2``, ``PID-13[*].7``, ``PID-13[2].4.1``, ``NK1[2]-5``. Pure; compiled once.

``SEG[s]-F[r].C.S``: segment, its repetition, field, its repetition, component, subcomponent. Indexes count from 1. ``[*]`` and no index
mean every repetition, because reading only the first of ``OK~DNC`` would miss the refusal. A path without a component reads the first
component if the element has several, as other interface engines do, unless it is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import DELETE, Message
from adapters.mapping.rules import Find, FoundValue

_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+|\*)\])?-(\d+)(?:\[(\d+|\*)\])?(?:\.(\d+))?(?:\.(\d+))?")
EXAMPLES = "ZCP-2, PID-13[*].7, PD1-11.1 or NK1[2]-5"


class Path(NamedTuple):
    """The parts of a path. An index of ``None`` means every repetition; a component of ``None`` was not given."""

    segment: str
    occurrence: int | None
    field: int
    repetition: int | None
    component: int | None
    subcomponent: int | None


def parse(text: str) -> Path:
    """Parses a path. Raises ``ValueError`` with the reason if it is invalid."""
    match = _PATH.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"is not an HL7 path: write it like {EXAMPLES}")
    segment, occurrence, field, repetition, component, subcomponent = match.groups()
    numbers = [None if part in (None, "*") else int(part) for part in (occurrence, field, repetition, component, subcomponent)]
    if 0 in numbers:
        raise ValueError("counts from 0: HL7 counts segments, fields, repetitions and components from 1")
    return Path(segment, numbers[0], int(field), numbers[2], numbers[3], numbers[4])


def compile_path(text: str) -> Find:
    """Compiles a path to a function that finds its values in a message. Raises ``ValueError`` with the reason if it is invalid."""
    path = parse(text)
    starred = "*" in text.partition("-")[2]
    plain = "*" not in text and path.occurrence is None and path.repetition is None and path.segment != "MSH"
    segment, field, at = path.segment, path.field, _concrete(path, f"{path.segment}-{path.field}")

    def find(message: Message) -> Sequence[FoundValue]:
        segments = message.segments(segment)
        if not segments:
            return ()
        if plain and len(segments) == 1:  # the usual case
            text = segments[0][field] if field < len(segments[0]) else ""
            if not text:
                return ()
            if message.delimiters.repetition not in text:
                found = _element(message, path, text, at)
                return (found,) if found is not None else ()
        return list(_found(message, path, segments, starred))

    return find


def _found(message: Message, path: Path, segments: list[list[str]], starred: bool) -> Iterator[FoundValue]:
    for number, fields in enumerate(segments, 1):
        if path.occurrence in (None, number) and path.field < len(fields) and fields[path.field]:
            named = path.segment if path.occurrence is None and len(segments) == 1 else f"{path.segment}[{number}]"
            yield from _in_field(message, path, fields[path.field], f"{named}-{path.field}", starred)


def _in_field(message: Message, path: Path, field: str, at: str, starred: bool) -> Iterator[FoundValue]:
    if path.segment == "MSH" and path.field < 3:
        yield FoundValue(field, at)
        return
    repetitions = field.split(message.delimiters.repetition)
    indexed = starred or path.repetition is not None or len(repetitions) > 1
    for number, text in enumerate(repetitions, 1):
        if text and path.repetition in (None, number):
            found = _element(message, path, text, _concrete(path, f"{at}[{number}]" if indexed else at))
            if found is not None:
                yield found


def _element(message: Message, path: Path, text: str, at: str) -> FoundValue | None:
    """The value of the element; ``None`` if it is absent."""
    delimiters = message.delimiters
    part = _part(text, path.component, delimiters.component)
    if part != DELETE and (path.subcomponent is not None or delimiters.subcomponent in part):
        part = _part(part, path.subcomponent, delimiters.subcomponent)
    if part == DELETE:
        return FoundValue(None, at)
    try:
        text = message.unescape(part).strip()
    except UnusableMessage as error:
        return FoundValue("", at, error.detail)
    return FoundValue(text, at) if text else None


def _part(text: str, number: int | None, delimiter: str) -> str:
    if text == DELETE:
        return text  # deleting an element deletes its components
    if delimiter not in text:
        return text if number in (None, 1) else ""
    parts = text.split(delimiter)
    if number is None:
        return parts[0] or text
    return parts[number - 1] if number <= len(parts) else ""


def _concrete(path: Path, at: str) -> str:
    if path.component is not None:
        at = f"{at}.{path.component}"
    return at if path.subcomponent is None else f"{at}.{path.subcomponent}"
