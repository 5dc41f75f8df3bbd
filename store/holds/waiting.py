"""Everything that waits for a person, whatever produced it: for the overview, the alerts and the metrics alike.

Rejections are counted by source here; the pages group them by cause (``store.runs.causes``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from store.domain.enterprise import Enterprise
from store.holds.review import awaiting_review
from store.patients.preferences import Preferences
from store.patients.webhook_outbox import endpoint_states
from store.patients.write_backs import WriteBacks
from store.runs.open_rejections import open_rejections

NOBODYS = ""
"""The enterprise of rejections of a source that no configured enterprise has: a messaging provider, or a removed source."""


class WaitKind(StrEnum):
    """What waits."""

    HELD_CHANGES = "held_changes"
    OPEN_REJECTIONS = "open_rejections"
    REPLIES_TO_REVIEW = "replies_to_review"
    SILENT_SOURCES = "silent_sources"
    DEAD_WRITE_BACKS = "dead_write_backs"
    DISABLED_WEBHOOKS = "disabled_webhooks"


class AwaitedDecision(NamedTuple):
    """One thing that waits, ``number`` of them, since when, where that is known.

    ``source``: the source or webhook endpoint that it is about. ``run``: that of held changes. ``detail``: the kind of that run, or the
    state of replies.
    """

    kind: WaitKind
    enterprise: str
    source: str
    number: int
    since: datetime | None = None
    run: str = ""
    detail: str = ""


class Waits:
    """Collects what waits. ``endpoints``: webhook endpoint -> its enterprise. Thread-safe."""

    def __init__(self, store: Preferences, endpoints: Mapping[str, str]) -> None:
        self.store, self.database, self.endpoints = store, store.database, endpoints

    def everything(self, enterprises: Iterable[Enterprise], now: datetime) -> list[AwaitedDecision]:
        """What waits in some enterprises."""
        rules = {one.name: one for one in enterprises}
        found = [*self.held(), *self._rejections(rules), *self.replies(rules), *self.silent(rules.values(), now)]
        return [one for one in [*found, *self.write_backs(), *self.webhooks()] if one.enterprise in (*rules, NOBODYS)]

    def held(self) -> Iterator[AwaitedDecision]:
        """The sets of changes that the safeguard holds, each by itself."""
        with self.database.read() as connection:
            for one in awaiting_review(self.database, connection):
                yield AwaitedDecision(WaitKind.HELD_CHANGES, one.enterprise, one.source, one.patients, one.since, one.run, one.kind)

    def silent(self, enterprises: Iterable[Enterprise], now: datetime) -> Iterator[AwaitedDecision]:
        """The sources without data for longer than their freshness, since it ended. Without a time: there never were any."""
        last = self.store.freshness.last_heard(now)
        for rules in enterprises:
            stale = self.store.freshness.stale([rules], now)
            for source in rules.sources:
                if source.freshness is not None and stale[source.name]:
                    since = last[source.name] + source.freshness if source.name in last else None
                    yield AwaitedDecision(WaitKind.SILENT_SOURCES, rules.name, source.name, 1, since)

    def write_backs(self) -> Iterator[AwaitedDecision]:
        """The opt-outs that an EMR refused, or did not take for too long."""
        for (enterprise, source), (number, oldest) in WriteBacks(self.database).dead().items():
            yield AwaitedDecision(WaitKind.DEAD_WRITE_BACKS, enterprise, source, number, oldest)

    def webhooks(self) -> Iterator[AwaitedDecision]:
        """The endpoints of senders that are told nothing until a person enables them."""
        for endpoint, state in endpoint_states(self.database, self.endpoints).items():
            if state.disabled is not None:
                yield AwaitedDecision(WaitKind.DISABLED_WEBHOOKS, self.endpoints[endpoint], endpoint, state.waiting, state.disabled)

    def _rejections(self, rules: Mapping[str, Enterprise]) -> Iterator[AwaitedDecision]:
        owners = {source.name: one.name for one in rules.values() for source in one.sources}
        for source, found in open_rejections(self.database).items():
            yield AwaitedDecision(WaitKind.OPEN_REJECTIONS, owners.get(source, NOBODYS), source, found.number, found.oldest)

    def replies(self, enterprises: Iterable[str]) -> Iterator[AwaitedDecision]:
        """The replies that await review, by their state."""
        for enterprise in enterprises:
            for state, found in self.store.replies.waiting(enterprise).items():
                yield AwaitedDecision(WaitKind.REPLIES_TO_REVIEW, enterprise, "", found.number, found.oldest, detail=state)
