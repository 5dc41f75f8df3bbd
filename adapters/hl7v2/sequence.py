"""The sequence number protocol: MSH-13 and MSA-4. Pure.

Source: HL7 v2.9 chapter 2, "Sequence number protocol". The receiver stores the last number that it accepted. 0 requests the next
expected number and -1 restarts the sequence; both come with an ordinary message. An unexpected number is refused, and the link is blocked
until the sender restarts the sequence. The last number again is a repeat after a lost acknowledgement; the store recognises the message.
"""

from __future__ import annotations

from typing import NamedTuple

START, RESYNC = 0, -1
NONE_YET = -1


class SequenceCheck(NamedTuple):
    """The result for one number: whether its message is accepted, the new last number, and the value of MSA-4."""

    accepted: bool
    last: int | None
    expected: int | None


def check_sequence(number: int | None, last: int | None) -> SequenceCheck:
    """Checks a sequence number.

    ``number`` is MSH-13, ``None`` if the sender uses none. ``last`` is the last accepted number, ``None`` if there is none yet.
    """
    if number is None:
        return SequenceCheck(True, last, None)
    if number == RESYNC:
        return SequenceCheck(True, None, NONE_YET)
    if number == START:
        return SequenceCheck(True, last, NONE_YET if last is None else last + 1)
    if last is None or number in (last, last + 1):
        return SequenceCheck(True, number, number + 1)
    return SequenceCheck(False, last, last + 1)


def number(text: str) -> int | None:
    """MSH-13 as a number; ``None`` if it is empty or not a number."""
    try:
        return int(text.strip()) if text.strip() else None
    except ValueError:
        return None
