"""A run under way, and what it has committed so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from store.journal import Run


@dataclass(slots=True)
class Tally:
    """Counts by outcome.

    ``partial``: the run reads one patient, or what changed since a time that somebody named. That may leave a gap behind the
    cursor, which so stays, and the source does not count as heard.
    """

    run: Run
    partial: bool = False
    counts: Counter[str] = field(default_factory=Counter)
