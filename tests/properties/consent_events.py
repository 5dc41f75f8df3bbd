"""SMS consent events, and which are in force: the newest of each authority, number and line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class ConsentEvent(NamedTuple):
    """A reply, or a record by staff, about a number. ``line`` is ``None`` for every line."""

    authority: str
    number: str
    line: str | None
    opted_out: bool
    at: float


def stopped_by(events: Iterable[ConsentEvent], authority: str, number: str, line: str) -> bool:
    """Whether an authority refuses texts from a line to a number. A later START on one line is an exception to an opt-out for all."""
    own = [event for event in events if (event.authority, event.number) == (authority, number)]
    here, everywhere = (_newest(own, where) for where in (line, None))
    if here is not None and here.opted_out:
        return True
    lifted = here is not None and everywhere is not None and here.at > everywhere.at
    return everywhere is not None and everywhere.opted_out and not lifted


def _newest(events: Iterable[ConsentEvent], line: str | None) -> ConsentEvent | None:
    return max((event for event in events if event.line == line), key=lambda event: (event.at, event.opted_out), default=None)
