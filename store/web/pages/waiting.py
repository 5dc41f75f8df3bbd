"""Everything that waits for a person in an enterprise, the oldest first, each with what to do. For the overview and the sources' pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from store.domain.enterprise import Enterprise, Source
from store.holds.review import WITHOUT_RECORDS, awaiting_review
from store.patients.preferences import Preferences
from store.patients.unreadable_patients import unreadable_since
from store.runs.causes import Causes, OpenCause
from store.runs.failed_runs import last_runs
from store.runs.runs import Journal, RunKind
from store.web.pages import labels
from store.web.pages.causes import titled

MOST_CAUSES = 25
NO, WARN = "no", "warn"
HELD: dict[str, tuple[str, str]] = {
    RunKind.LIVE: ("Changes that would permit contact", "Check them, then approve or reject."),
    RunKind.CONFIGURATION: ("A changed configuration", "Approve it, or restore the configuration file."),
    RunKind.SETTINGS: ("Changed settings", "Somebody who did not ask for them approves or rejects them."),
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
    """Collects what waits. Thread-safe."""

    def __init__(self, store: Preferences, journal: Journal) -> None:
        self.store, self.journal, self.causes = store, journal, Causes(store.database)

    def everything(self, enterprise: str, now: datetime) -> list[Waiting]:
        """What waits in an enterprise. What nobody knows the age of comes first."""
        rules = self.store.enterprises[enterprise]
        found = [*self._held(rules), *self._replies(enterprise), *_causes(self.causes.open(enterprise, limit=MOST_CAUSES))]
        for source in rules.sources:
            found += [*self._silent(rules, source, now), *self._failed(enterprise, source.name), *self._unreadable(rules, source)]
        return _oldest_first(found)

    def of_source(self, enterprise: str, source: Source, causes: Iterable[OpenCause], now: datetime) -> list[Waiting]:
        """What waits because of one source, whose ``causes`` of rejections the caller has read."""
        rules = self.store.enterprises[enterprise]
        found = [one for one in self._held(rules) if one.source == source.name]
        found += [*self._silent(rules, source, now), *self._failed(enterprise, source.name), *self._unreadable(rules, source)]
        return _oldest_first([*found, *_causes(causes)])

    def _held(self, rules: Enterprise) -> Iterator[Waiting]:
        with self.store.database.read() as connection:
            found = awaiting_review(self.store.database, connection, rules.name)
        for one in found:
            what, to_do = HELD.get(one.kind, HELD[RunKind.LIVE])
            source = "" if one.kind in WITHOUT_RECORDS else one.source
            yield Waiting(f"{what} held for {_patients(one.patients)}", to_do, one.since, f"/runs/{one.run}", source)

    def _replies(self, enterprise: str) -> Iterator[Waiting]:
        count, oldest = self.store.replies.waiting(enterprise), self.store.replies.oldest(enterprise)
        if count:
            what = f"{count:,} {'reply' if count == 1 else 'replies'} that may mean an opt-out"
            yield Waiting(what, "An enterprise user or staff decides on the page Replies. Until then texts are paused.", oldest)

    def _silent(self, rules: Enterprise, source: Source, now: datetime) -> Iterator[Waiting]:
        if source.freshness is None or not self.store.freshness.stale([rules], now)[source.name]:
            return
        last = self.store.freshness.last_heard(now).get(source.name)
        since = last + source.freshness if last else None
        what = f"No data for longer than {labels.span(source.freshness)}" if last else "No data yet"
        contact = f" Or ask: {source.contact.rstrip('.')}." if source.contact else ""
        to_do = f"Check the connection: emr-sync check {source.name}.{contact}"
        yield Waiting(what, to_do, since, f"/sources/{source.name}", source.name, NO)

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


def _causes(found: Iterable[OpenCause]) -> Iterator[Waiting]:
    for one in found:
        what = f"{one.rejections:,} {'rejection' if one.rejections == 1 else 'rejections'}: {titled(one.cause)}"
        at = f"{what} at {one.cause.path}" if one.cause.path else what
        yield Waiting(at, "Fix the cause, then replay.", one.first, f"/rejections/{one.example}/cause", one.cause.source)


def _oldest_first(found: Iterable[Waiting]) -> list[Waiting]:
    return sorted(found, key=lambda one: (one.since is not None, one.since.timestamp() if one.since else 0, one.what))


def _patients(number: int) -> str:
    return f"{number:,} patient{'' if number == 1 else 's'}"
