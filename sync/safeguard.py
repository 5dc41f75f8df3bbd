"""When changes that permit contact are held: the limit (product section 8), the guard of a batch, and the end of a run.

``store.holds.gate`` holds them inside a batch. What a person decides about them, and what is held whatever the limit, is in
``store.holds.review``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.holds.gate import HoldAll, LiveFeedGuard
from store.holds.held_changes import HeldChanges
from store.holds.review import HeldReview
from store.patients.gating import Gate, Guard
from store.patients.preferences import Preferences
from store.preference import RecordOutcome
from store.runs.runs import Journal, RunStatus
from sync.config.settings import SafeguardRule
from sync.run import Lane, Tally

WINDOW = timedelta(hours=1)
"""The rolling hour over which a live feed is counted, since it has no end."""

HELD = "held by the safeguard: {patients} patients would become more contactable; see emr-sync runs show {run}"
MISSING = "{missing} of {known} patients of the source are not in its list of all patients; nothing was changed for them"
REJECTED_BEFORE = "held by the safeguard: changes of {patients} patients that were rejected before came again; see emr-sync runs show {run}"


def limit(safeguard: SafeguardRule, synced: int) -> int:
    """The most patients that may become more contactable without a review, of ``synced`` patients of the source."""
    return max(safeguard.floor, math.floor(synced * safeguard.percent / 100))


def is_within_limit(safeguard: SafeguardRule, *, synced: int, patients: int, waiting: int, missing: int = 0) -> bool:
    """Whether the changes of a run that would make ``patients`` more contactable take effect at its end.

    Changes of the source that already await review count too: several runs must not do in portions what one run may not do. Content that
    a person rejected before is held whatever this says (``store.holds.review.HeldReview.settle``). A list of all patients that lacks
    more than that many (``missing``) may be the wrong list, so a person decides what it would permit.
    """
    return max(patients + waiting, missing) <= limit(safeguard, synced)


def room(safeguard: SafeguardRule, *, synced: int, lately: int, waiting: bool) -> int:
    """How many more patients a live feed may make more contactable now. None while changes of its source await review."""
    return 0 if waiting else max(0, limit(safeguard, synced) - lately)


@dataclass(slots=True)
class LiveFeed:
    """The guard of one batch of a live feed, made when the batch opens its gate: most never do."""

    safeguard: Safeguard
    transaction: Any
    lane: Lane
    now: datetime
    made: LiveFeedGuard | None = None

    def gate(self, database: Database, transaction: Any, enterprise: Enterprise, authority: str, now: datetime) -> Gate:
        """The gate of one batch of one authority (``store.patients.gating.Guard``)."""
        self.made = self.made or self.safeguard.live_feed(self.transaction, self.lane, self.now)
        return self.made.gate(database, transaction, enterprise, authority, now)


@dataclass(slots=True)
class Safeguard:
    """The safeguards of all enterprises; those without one of their own have the default."""

    database: Database
    preferences: Preferences
    journal: Journal
    clock: Callable[[], datetime]
    safeguards: Mapping[str, SafeguardRule]
    held: HeldChanges = field(init=False)

    def __post_init__(self) -> None:
        self.held = HeldChanges(self.database)

    def rule(self, lane: Lane) -> SafeguardRule:
        """The safeguard of the lane's enterprise."""
        return self.safeguards.get(lane.enterprise, SafeguardRule())

    def guard(self, transaction: Any, lane: Lane, tally: Tally | None, now: datetime) -> Guard:
        """The guard of a batch. A run is judged as a whole at its end, a live feed over a rolling hour."""
        if tally is not None:
            return HoldAll(tally.run.id)
        return LiveFeed(self, transaction, lane, now)

    def live_feed(self, transaction: Any, lane: Lane, now: datetime) -> LiveFeedGuard:
        """The guard of a live feed's batch, which counts over a rolling hour."""
        rule = self.rule(lane)

        def admitted(synced: int, lately: int, waiting: bool) -> int:
            return room(rule, synced=synced, lately=lately, waiting=waiting)

        return LiveFeedGuard(self.held, transaction, lane, admitted, now=now, span=WINDOW)

    def settle(self, tally: Tally, lane: Lane) -> tuple[RunStatus, str]:
        """At the end of a run, applies the changes that permit contact, or holds the run; returns its status and message."""
        rule, now, verdicts = self.rule(lane), self.clock(), HeldReview(self.preferences, self.journal)
        verdicts.expire(lane.enterprise, after=rule.expires, now=now)

        missing = self._missing(tally, lane)

        def in_limit(synced: int, patients: int, waiting: int) -> bool:
            return is_within_limit(rule, synced=synced, patients=patients, waiting=waiting, missing=missing)

        settled = verdicts.settle(tally.run, in_limit, now=now)
        waiting = min(tally.counts[RecordOutcome.HELD], settled.held)
        tally.counts[RecordOutcome.APPLIED] += tally.counts[RecordOutcome.HELD] - waiting
        tally.counts[RecordOutcome.HELD] = waiting
        tally.counts = +tally.counts
        with self.database.write(lane.enterprise) as transaction:
            self.journal.progress(transaction, tally.run, tally.counts, None, now=self.clock())
        if not settled.held:
            return RunStatus.DONE, ""
        message = REJECTED_BEFORE if settled.rejected_before else HELD
        return RunStatus.HELD, message.format(patients=settled.held, run=tally.run.id)

    def _missing(self, tally: Tally, lane: Lane) -> int:
        """How many patients of the source are not in the list of all of them that the run read. Nothing is changed for them."""
        if tally.everybody_since is None:
            return 0
        with self.database.read() as connection:
            missing, known = self.held.missing(connection, lane.source, tally.everybody_since)
        if missing:
            tally.note(MISSING.format(missing=missing, known=known))
        return missing
