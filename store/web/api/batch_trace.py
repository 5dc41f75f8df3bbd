"""The audit log entry of a batch: how many requests it had, and how many of them were about unknown patients.

A high share of unknown patients reveals somebody who tries identifiers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from store.audit.audit_log import DECIDED_BATCH, Audit
from store.domain import reasons as why
from store.domain.decision_request import Decision
from store.users.api_keys import ApiKey
from store.web.http.unknown_patients import LookUps

FOUND, UNKNOWN, INVALID = "found", "unknown", "invalid"
UNANSWERABLE = {why.PATIENT_UNKNOWN: UNKNOWN, why.PATIENT_AMBIGUOUS: "ambiguous", why.ASK_INVALID: INVALID}


def outcome(reasons: tuple[str, ...]) -> str:
    """Whether the patient was found, and if not, why, by the reasons of the decision."""
    return next((UNANSWERABLE[reason] for reason in reasons if reason in UNANSWERABLE), FOUND)


@dataclass(slots=True)
class BatchCounts:
    """The counts of one batch while it is answered."""

    key: ApiKey
    look_ups: LookUps
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((FOUND, *UNANSWERABLE.values()), 0))

    def add(self, decisions: Iterable[Decision]) -> None:
        """Counts more decisions of the batch."""
        more = Counter[str]()
        for reasons, number in Counter([one.reasons for one in decisions]).items():
            more[outcome(reasons)] += number
        for name, number in more.items():
            self.counts[name] += number
        self.look_ups.count(self.key, more.total() - more[INVALID], more[UNKNOWN])

    def note(self, audit: Audit, now: datetime) -> None:
        """Writes the entry, unless the batch was empty."""
        if asks := sum(self.counts.values()):
            audit.note(self.key.enterprise, DECIDED_BATCH, self.key.id, actor=str(self.key.actor), now=now, asks=asks, **self.counts)
