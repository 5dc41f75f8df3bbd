"""What was said about texting numbers, and which of it stands: the newest word of each authority, number and line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Word(NamedTuple):
    """A reply, or what staff recorded, about a number. ``line`` is ``None`` for every line."""

    authority: str
    number: str
    line: str | None
    opted_out: bool
    at: float


def stopped_by(words: Iterable[Word], authority: str, number: str, line: str) -> bool:
    """Whether an authority refuses texts from a line to a number. A later START on one line excepts it from a word for all."""
    mine = [word for word in words if (word.authority, word.number) == (authority, number)]
    here, everywhere = (_newest(mine, where) for where in (line, None))
    if here is not None and here.opted_out:
        return True
    lifted = here is not None and everywhere is not None and here.at > everywhere.at
    return everywhere is not None and everywhere.opted_out and not lifted


def _newest(words: Iterable[Word], line: str | None) -> Word | None:
    return max((word for word in words if word.line == line), key=lambda word: (word.at, word.opted_out), default=None)
