"""The sequence number protocol: MSH-13 and MSA-4. Pure.

Source: HL7 v2.9 chapter 2, "Sequence number protocol". The receiver keeps the last number that it took. 0 asks where to go on
and -1 begins anew, both with a message like any other; a number out of turn is refused and the link stands until the sender
begins anew. The last number sent again is a repeat after a lost acknowledgement, which the store recognises.
"""

from __future__ import annotations

from typing import NamedTuple

START, RESYNC = 0, -1
NONE_YET = -1


class Turn(NamedTuple):
    """What a number means: whether its message is taken, the last number from now on, and what MSA-4 says."""

    taken: bool
    last: int | None
    expected: int | None


def turn(number: int | None, last: int | None) -> Turn:
    """``number`` is MSH-13, ``None`` when the sender uses none; ``last`` the last that was taken, ``None`` for none yet."""
    if number is None:
        return Turn(True, last, None)
    if number == RESYNC:
        return Turn(True, None, NONE_YET)
    if number == START:
        return Turn(True, last, NONE_YET if last is None else last + 1)
    if last is None or number in (last, last + 1):
        return Turn(True, number, number + 1)
    return Turn(False, last, last + 1)


def number(text: str) -> int | None:
    """MSH-13 as a number; ``None`` when there is none."""
    try:
        return int(text.strip()) if text.strip() else None
    except ValueError:
        return None
