"""Sources, runs and rejections over HTTP, for those who operate the sync. What they start is done by ``sync``, passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import Struct

from store.enterprise import Source
from store.errors import StoreError
from store.freshness import Freshness
from store.journal import Journal, Rejection, Run
from store.lock import Role
from store.preferences import Preferences
from store.web.endpoint import Answer, Call, Endpoint
from store.web.problem import Problem
from store.web.wire import whole_number

OPERATORS = frozenset({Role.OPERATOR})
FILTERS = {"source": "only this source", "limit": "at most so many, up to 1000"}


@dataclass(frozen=True, slots=True)
class Work:
    """What ``sync`` does on request. ``resync(source, by)`` begins a run and returns it, or raises ``RunActive``;
    ``replay(rejection_id, by)`` maps and applies a rejection again and says what became of it."""

    resync: Callable[[str, str], Run]
    replay: Callable[[str, str], Mapping[str, Any]]


class SourceOut(Struct, frozen=True):
    """A configured source. ``last_heard`` is ``null`` for one that was never heard."""

    name: str
    display_name: str
    last_heard: datetime | None
    stale: bool
    last_run: RunOut | None


class RunOut(Struct, frozen=True):
    """One pull, batch or resync: ``status`` is running, done, failed or held."""

    run: str
    source: str
    kind: str
    status: str
    started: datetime
    finished: datetime | None
    counts: dict[str, int]
    error: str | None


class RejectionOut(Struct, frozen=True):
    """What could not be used, without its payload: that holds a patient's data and is for the command line."""

    id: str
    source: str
    scope: str
    status: str
    reason: str
    detail: str
    path: str
    locator: str
    times: int
    run: str | None
    first_at: datetime
    last_at: datetime


class ReplayOut(Struct, frozen=True):
    """What became of a replayed rejection."""

    outcome: str
    reason: str = ""
    detail: str = ""


class Operations:
    """The answers about the work; nothing of another enterprise is ever found."""

    def __init__(self, store: Preferences, journal: Journal, work: Work | None) -> None:
        self.store, self.journal, self.work = store, journal, work
        self.freshness: Freshness = store.freshness

    def endpoints(self) -> Iterable[Endpoint]:
        """Rows of the contract; those that need ``sync`` only where it is there."""
        yield Endpoint("GET", "/v1/sources", OPERATORS, "Sources", self.sources, None, list[SourceOut])
        yield Endpoint("GET", "/v1/runs", OPERATORS, "Runs, the newest first", self.runs, None, list[RunOut], FILTERS)
        yield Endpoint("GET", "/v1/runs/{run_id:str}", OPERATORS, "One run", self.run, None, RunOut)
        status = {**FILTERS, "status": "open (default), resolved or all"}
        yield Endpoint("GET", "/v1/rejections", OPERATORS, "What could not be used", self.rejections, None, list[RejectionOut], status)
        if self.work is not None:
            yield Endpoint("POST", "/v1/sources/{source:str}/resync", OPERATORS, "Begin a resync", self.resync, None, RunOut)
            yield Endpoint("POST", "/v1/rejections/{rejection_id:str}/replay", OPERATORS, "Try again", self.replay, None, ReplayOut)

    def sources(self, call: Call) -> Answer:
        """The enterprise's sources, in order of precedence."""
        heard = self.freshness.last_heard(call.now)
        return Answer([self._source(call, one, heard.get(one.name)) for one in self.store.enterprises[call.enterprise].sources])

    def runs(self, call: Call) -> Answer:
        """Runs of the enterprise."""
        limit = whole_number(call.query, "limit", 50, 1_000)
        return Answer([run_out(run) for run in self.journal.runs(call.enterprise, call.query.get("source"), limit)])

    def run(self, call: Call) -> Answer:
        """One run, if it is of the enterprise."""
        run = self.journal.run(call.path["run_id"])
        if run.enterprise != call.enterprise:
            raise StoreError("no such run: emr-sync runs shows them")
        return Answer(run_out(run))

    def rejections(self, call: Call) -> Answer:
        """Rejections of the enterprise."""
        status = call.query.get("status", "open")
        if status not in ("open", "resolved", "all"):
            raise Problem(422, "invalid_request", "status is open, resolved or all")
        limit = whole_number(call.query, "limit", 100, 1_000)
        found = self.journal.rejections(call.enterprise, call.query.get("source"), None if status == "all" else status, limit)
        return Answer([rejection_out(one) for one in found])

    def resync(self, call: Call) -> Answer:
        """Begins a run of the source; 202, for it goes on after the answer."""
        source = call.path["source"]
        if self.work is None or self.store.enterprises[call.enterprise].source(source) is None:
            raise Problem(404, "source_unknown", "this enterprise has no such source")
        return Answer(run_out(self.work.resync(source, call.key.name)), {}, 202)

    def replay(self, call: Call) -> Answer:
        """Tries one rejection again."""
        rejection = self.journal.quarantine.summary(call.path["rejection_id"])
        if self.work is None or rejection.enterprise != call.enterprise:
            raise StoreError("no such rejection: emr-sync rejections shows them")
        return Answer(ReplayOut(**self.work.replay(rejection.id, call.key.name)))

    def _source(self, call: Call, source: Source, heard: datetime | None) -> SourceOut:
        stale = self.freshness.ages(self.store.enterprises[call.enterprise], call.now)(source.name).stale
        last = self.journal.runs(call.enterprise, source.name, 1)
        return SourceOut(source.name, source.display_name or source.name, heard, stale, run_out(last[0]) if last else None)


def run_out(run: Run) -> RunOut:
    """A run as JSON."""
    return RunOut(run.id, run.source, run.kind, run.status, run.started, run.finished, dict(run.counts), run.error)


def rejection_out(one: Rejection) -> RejectionOut:
    """A rejection as JSON."""
    return RejectionOut(
        one.id, one.source, one.scope, one.status, one.reason, one.detail, one.path, one.locator, one.times, one.run_id,
        one.first_at, one.last_at,
    )  # fmt: skip
