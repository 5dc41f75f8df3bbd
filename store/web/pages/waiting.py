"""Everything that waits for a person in an enterprise, the oldest first, each with what to do. For the overview and the sources' pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from store.domain.enterprise import Enterprise, Source
from store.holds.review import WITHOUT_RECORDS
from store.holds.waiting import AwaitedDecision, WaitKind, Waits
from store.patients.preferences import Preferences
from store.patients.replies import APPOINTMENT
from store.patients.unreadable_patients import unreadable_since
from store.runs.causes import Causes, OpenCause
from store.runs.failed_runs import last_runs
from store.runs.runs import Journal, RunKind
from store.web.http.work import Endpoints, no_endpoints
from store.web.pages import labels
from store.web.pages.causes import titled

MOST_CAUSES = 25
UNDELIVERED = "/undelivered"
NO, WARN = "no", "warn"
HELD: dict[str, tuple[str, str]] = {
    RunKind.LIVE: ("Changes that would permit contact", "Check them, then approve or reject."),
    RunKind.CONFIGURATION: ("A changed configuration", "Approve it, or restore the configuration file."),
    RunKind.SETTINGS: ("Changed settings", "Someone other than the person who asked for them must approve or reject them."),
}
"""Kind of run -> what is held, and what to do. Other kinds are as a live feed."""


class Waiting(NamedTuple):
    """One thing that waits. ``since``: when it began, if known. ``to_do`` is a sentence; ``where`` the page to do it on, if it has one.

    ``source``: the name of the source that it is about, if any. ``tone``: how urgent, ``no`` or ``warn``.
    """

    what: str
    to_do: str
    since: datetime | None
    where: str = ""
    source: str = ""
    tone: str = WARN


class WaitingList:
    """Puts what waits into words. ``endpoints``: webhook endpoint -> its enterprise. Thread-safe."""

    def __init__(self, store: Preferences, journal: Journal, endpoints: Endpoints = no_endpoints) -> None:
        self.store, self.journal, self.endpoints, self.causes = store, journal, endpoints, Causes(store.database)

    def everything(self, enterprise: str, now: datetime) -> list[Waiting]:
        """What waits in an enterprise. What nobody knows the age of comes first."""
        rules = self.store.enterprises[enterprise]
        found = [*self._told(rules, now), *_causes(self.causes.open(enterprise, limit=MOST_CAUSES))]
        for source in rules.sources:
            found += [*self._failed(enterprise, source.name), *self._unreadable(rules, source)]
        return _oldest_first(found)

    def of_source(self, enterprise: str, source: Source, causes: Iterable[OpenCause], now: datetime) -> list[Waiting]:
        """What waits because of one source, whose ``causes`` of rejections the caller has read."""
        rules = self.store.enterprises[enterprise]
        found = [one for one in self._told(rules, now) if one.source == source.name]
        found += [*self._failed(enterprise, source.name), *self._unreadable(rules, source)]
        return _oldest_first([*found, *_causes(causes)])

    def _told(self, rules: Enterprise, now: datetime) -> Iterator[Waiting]:
        """What alerts tell, too. Rejections are listed by cause."""
        waits = Waits(self.store, {name: one for name, one in self.endpoints().items() if one == rules.name})
        found = [*waits.held(), *waits.replies([rules.name]), *waits.silent([rules], now), *waits.write_backs(), *waits.webhooks()]
        for one in found:
            if one.enterprise == rules.name:
                yield self._in_words(one, rules)

    def _in_words(self, one: AwaitedDecision, rules: Enterprise) -> Waiting:
        match one.kind:
            case WaitKind.HELD_CHANGES:
                return _held(one)
            case WaitKind.REPLIES_TO_REVIEW:
                return _replies(one)
            case WaitKind.SILENT_SOURCES:
                return _silent(one, rules.source(one.source))
            case WaitKind.DEAD_WRITE_BACKS:
                what = f"{one.number:,} opt-out{'' if one.number == 1 else 's'} that the EMR did not accept"
                to_do = f"Fix the cause, then try again. {'It is' if one.number == 1 else 'They are'} in force here."
                return Waiting(what, to_do, one.since, UNDELIVERED, one.source)
            case _:
                return Waiting(
                    f"The webhook endpoint {one.source} is disabled", "Fix the endpoint, then enable it.", one.since, UNDELIVERED
                )

    def _failed(self, enterprise: str, source: str) -> Iterator[Waiting]:
        failed = last_runs(self.store.database, [source]).get(source)
        if failed is not None and failed.enterprise == enterprise:
            to_do = self.journal.run(failed.run).failure or "See the run"
            yield Waiting("The last run failed", to_do, failed.ended, f"/runs/{failed.run}", source, NO)

    def _unreadable(self, rules: Enterprise, source: Source) -> Iterator[Waiting]:
        found = unreadable_since(self.store.database, rules.name, source.name)
        if found.patients:
            number = f"{'' if found.is_all else 'At least '}{_patients(found.patients)}"
            where = f"/rejections?source={source.name}"
            yield Waiting(f"{number} with data that cannot be read", "Fix the cause, then replay.", found.since, where, source.name)


def _held(one: AwaitedDecision) -> Waiting:
    what, to_do = HELD.get(one.detail, HELD[RunKind.LIVE])
    source = "" if one.detail in WITHOUT_RECORDS else one.source
    return Waiting(f"{what} held for {_patients(one.number)}", to_do, one.since, f"/runs/{one.run}", source)


def _replies(one: AwaitedDecision) -> Waiting:
    replies = f"{one.number:,} {'reply' if one.number == 1 else 'replies'}"
    if one.detail == APPOINTMENT:
        to_do = "The patients are opted out. Staff must check on the Replies page whether they meant their appointment."
        return Waiting(f"{replies} that may also cancel an appointment", to_do, one.since)
    to_do = "An enterprise user or staff must decide on the Replies page. Until then texts are paused."
    return Waiting(f"{replies} that may mean an opt-out", to_do, one.since)


def _silent(one: AwaitedDecision, source: Source | None) -> Waiting:
    long = labels.span(source.freshness) if source and source.freshness else ""
    what = f"No data for longer than {long}" if one.since else "No data yet"
    contact = f" Or ask: {source.contact.rstrip('.')}." if source and source.contact else ""
    to_do = f"Check the connection: emr-sync check {one.source}.{contact}"
    return Waiting(what, to_do, one.since, f"/sources/{one.source}", one.source, NO)


def _causes(found: Iterable[OpenCause]) -> Iterator[Waiting]:
    for one in found:
        what = f"{one.rejections:,} {'rejection' if one.rejections == 1 else 'rejections'}: {titled(one.cause)}"
        at = f"{what} at {one.cause.path}" if one.cause.path else what
        yield Waiting(at, "Fix the cause, then replay.", one.first, f"/rejections/{one.example}/cause", one.cause.source)


def _oldest_first(found: Iterable[Waiting]) -> list[Waiting]:
    return sorted(found, key=lambda one: (one.since is not None, one.since.timestamp() if one.since else 0, one.what))


def _patients(number: int) -> str:
    return f"{number:,} patient{'' if number == 1 else 's'}"
