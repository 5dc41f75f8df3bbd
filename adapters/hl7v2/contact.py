"""What the telecom fields of one message say together, and what they will say when a period in them begins or ends. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from adapters.hl7v2.reader import Message
from adapters.hl7v2.xtn import CELL, TelecomReader
from store.preference import PHONES, Later, Statement, slot

MOST_DAYS = 50


class Turning(NamedTuple):
    """A day on which the ``attribute`` of a field changes by itself, and what it takes to read the field as of that day."""

    day: date
    path: str
    attribute: str
    field: str
    kind: str


class TelecomRemarks(NamedTuple):
    """What the fields say beside their lists: consents that remarks deny (attribute, path), and the days on which a list changes."""

    refused: tuple[tuple[str, str], ...]
    turns: tuple[Turning, ...]


def agree(statements: dict[str, Statement], wrong: Collection[str]) -> None:
    """A number that is a cell in one field of a message is a cell in every other; one that is wrong in one field is in no other."""
    for name, one in [*statements.items()] if wrong else ():
        if one.value and name.startswith(PHONES):
            statements[name] = one._replace(value=tuple(phone for phone in one.value if phone.number not in wrong) or None)
    lists = [(name, one) for name, one in statements.items() if one.value and name.startswith(PHONES)]
    if len(lists) < 2:
        return
    cells = {phone.number for _, one in lists for phone in one.value if phone.kind == CELL}
    for name, one in lists:
        if any(phone.number in cells and phone.kind != CELL for phone in one.value):
            values = tuple(phone._replace(kind=CELL, textable=True) if phone.number in cells else phone for phone in one.value)
            statements[name] = one._replace(value=values)


def later(message: Message, turns: Iterable[Turning], telecoms: TelecomReader) -> Iterator[Later]:
    """The lists to come, from the beginning (UTC) of each day on which one of them changes."""
    for turn in turns:
        found = telecoms.read(message, turn.field, turn.path, turn.kind, turn.day)
        is_phones = turn.attribute == PHONES
        if found.states_phones if is_phones else found.states_emails:
            values = found.numbers if is_phones else found.emails
            due = datetime.combine(turn.day, time(), UTC)
            yield Later(slot(turn.attribute, turn.path), due, values or None, turn.path)
