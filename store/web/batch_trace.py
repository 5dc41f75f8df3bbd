"""What a batch leaves in the audit log: one line with how many asks it had, and about how many of them nothing is known here.

Somebody who tries identifiers shows by the share of unknown ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from store import reason as why
from store.ask import Decision
from store.keys import ApiKey
from store.proof.audit import DECIDED_BATCH, Audit

UNANSWERABLE = {why.PATIENT_UNKNOWN: "unknown", why.PATIENT_AMBIGUOUS: "ambiguous", why.ASK_INVALID: "invalid"}


@dataclass(slots=True)
class Tally:
    """Counts of one batch while it is answered."""

    key: ApiKey
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("found", *UNANSWERABLE.values()), 0))

    def add(self, decisions: Iterable[Decision]) -> None:
        """Some more of its decisions."""
        for one in decisions:
            self.counts[next((UNANSWERABLE[reason] for reason in one.reasons if reason in UNANSWERABLE), "found")] += 1

    def note(self, audit: Audit, now: datetime) -> None:
        """The line, for a batch that asked something."""
        if asks := sum(self.counts.values()):
            actor = f"{self.key.role}:{self.key.name}"
            audit.note(self.key.enterprise, DECIDED_BATCH, self.key.id, actor=actor, now=now, asks=asks, **self.counts)
