"""A run under way, and what it has committed so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from store.journal import Run


@dataclass(slots=True)
class Tally:
    """Counts by outcome.

    ``partial``: the run reads one patient, or what changed since a time that somebody named. That may leave a gap behind the
    cursor, which so stays, and the source does not count as heard. ``notes`` are told with the run.
    """

    run: Run
    partial: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keeps one line for whoever looks at the run; the same one once."""
        if text and text not in self.notes:
            self.notes.append(text)
