"""A run in progress: its source and enterprise, what it has committed so far, and how its progress is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # not imported by commands without a database
    from store.runs.runs import Run


def always() -> bool:
    """For a run whose source cannot change while it works."""
    return True


@dataclass(slots=True)
class Tally:
    """The counts of a run by outcome.

    ``partial``: the run reads one patient, or changes since a given time. That may leave a gap behind the cursor, so the cursor does not
    move, and no data counts as received from the source. ``notes`` are shown with the run.
    ``everybody_since``: since then the run delivered all patients of the source.
    ``is_current`` is false once the source was configured in another way: then the run ends between two batches.
    """

    run: Run
    partial: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    is_current: Callable[[], bool] = always
    everybody_since: datetime | None = None

    def note(self, text: str) -> None:
        """Adds a note, unless it is already there."""
        if text and text not in self.notes:
            self.notes.append(text)


class Progress(Protocol):
    """Called after each commit: items done, the total if the EMR reports it, and what the run waits for."""

    def __call__(self, done: int, total: int | None, what: str = "") -> None: ...


def no_progress(done: int, total: int | None, what: str = "") -> None:
    """Does nothing."""


class Lane(NamedTuple):
    """A source and the enterprise that its statements belong to."""

    source: str
    enterprise: str
