"""A run under way: the source and enterprise it is for, what it has committed so far, and how its progress is reported."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # commands without a database use the rest
    from store.runs.runs import Run


@dataclass(slots=True)
class Tally:
    """Counts by outcome.

    ``partial``: the run reads one patient, or what changed since a time that somebody named. That may leave a gap behind the
    cursor, so the cursor does not move, and the source does not count as received. ``notes`` are shown with the run.
    """

    run: Run
    partial: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keeps one line for whoever looks at the run; the same one once."""
        if text and text not in self.notes:
            self.notes.append(text)


class Progress(Protocol):
    """Called after each commit with the items done so far, how many there will be where the EMR says so, and what is waited for."""

    def __call__(self, done: int, total: int | None, what: str = "") -> None: ...


def no_progress(done: int, total: int | None, what: str = "") -> None:
    """Nobody watches."""


class Lane(NamedTuple):
    """Where what a source states goes to."""

    source: str
    enterprise: str
