"""The delimiters of a message, as defined in MSH-1 and MSH-2. Pure.

Source: HL7 v2.9 chapter 2, "Message delimiters".
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from adapters.hl7v2.errors import UnusableMessage

NOWHERE = "\uffff"  # a Unicode noncharacter, used for delimiters that MSH-2 does not define


class Delimiters(NamedTuple):
    """The delimiters of a message. A delimiter that MSH-2 does not define is :data:`NOWHERE`."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    truncation: str


def delimiters_of(text: str) -> Delimiters:
    """Reads MSH-1 and MSH-2. Raises :class:`UnusableMessage`: delimiters_missing, delimiters_invalid."""
    field = text[3:4]
    end = text.find(field, 4) if field else -1
    return _delimiters(field, text[4:end] if end >= 0 else text[4:])


@lru_cache(maxsize=256)
def _delimiters(field: str, encoding: str) -> Delimiters:
    if not field or field.isalnum() or field.isspace():
        raise UnusableMessage("delimiters_missing", "MSH-1 has no field separator", "MSH-1")
    encoding = encoding.partition("\r")[0].partition("\n")[0]  # MSH may end after MSH-2
    if not encoding or encoding.isspace():
        raise UnusableMessage("delimiters_missing", "MSH-2 is empty, so components and repetitions cannot be told apart", "MSH-2")
    named = encoding.strip().replace("\\\\", "\\")[:5]  # some engines write the backslash twice, as in a string literal
    if any(char.isalnum() or char.isspace() for char in named) or len({field, *named}) <= len(named):
        raise UnusableMessage(
            "delimiters_invalid", "MSH-2 must contain different characters that are not letters, digits or spaces", "MSH-2"
        )
    return Delimiters(field, *named, *(NOWHERE for _ in range(5 - len(named))))
