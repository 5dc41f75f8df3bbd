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
from store.lock import Actor, Role
from store.preferences import Preferences
from store.verdicts import HeldSet, Verdicts
from store.web.endpoint import Answer, Call, Endpoint
from store.web.problem import Problem
from store.web.wire import whole_number

OPERATORS = frozenset({Role.OPERATOR})
FILTERS = {"source": "only this source", "limit": "at most so many, up to 1000"}


@dataclass(frozen=True, slots=True)
class Work:
    """What ``sync`` does on request. ``resync(source, by)`` begins a run and returns it, or raises ``RunActive``;
    ``replay(rejection_id, by)`` maps and applies a rejection again and says what became of it; ``expire(enterprise)`` rejects what
    the brake held for too long."""

    resync: Callable[[str, str], Run]
    replay: Callable[[str, str], Mapping[str, Any]]
    expire: Callable[[str], None] = lambda enterprise: None


class SourceOut(Struct, frozen=True):
    """A configured source. ``last_heard`` is ``null`` for one that was never heard."""

    name: str
    display_name: str
    last_heard: datetime | None
    stale: bool
    last_run: RunOut | None


class RunOut(Struct, frozen=True):
    """One pull, batch or resync: ``status`` is queued, running, waiting, done, failed or held."""

    run: str
    source: str
    kind: str
    status: str
    started: datetime
    finished: datetime | None
    counts: dict[str, int]
    error: str | None


class CountOut(Struct, frozen=True):
    """How many patients one attribute would loosen in one direction."""

    attribute: str
    direction: str
    patients: int


class ExampleOut(Struct, frozen=True):
    """One held statement: the store's own id of its patient, and no value but its direction."""

    patient: str
    attribute: str
    direction: str
    path: str
    effective: datetime


class VerdictOut(Struct, frozen=True):
    """What was decided: ``approved``, ``rejected`` or ``expired``, by whom."""

    verdict: str
    actor: str
    at: datetime
    patients: int


class HeldOut(Struct, frozen=True):
    """What the brake holds of a run."""

    patients: int
    counts: list[CountOut]
    sample: list[ExampleOut]
    verdicts: list[VerdictOut]


class RunDetail(RunOut, frozen=True):
    """A run with what the brake holds of it."""

    held: HeldOut


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
        self.verdicts = Verdicts(store, journal)
        self.freshness: Freshness = store.freshness

    def endpoints(self) -> Iterable[Endpoint]:
        """Rows of the contract; those that need ``sync`` only where it is there."""
        yield Endpoint("GET", "/v1/sources", OPERATORS, "Sources", self.sources, None, list[SourceOut])
        yield Endpoint("GET", "/v1/runs", OPERATORS, "Runs, the newest first", self.runs, None, list[RunOut], FILTERS)
        yield Endpoint("GET", "/v1/runs/{run_id:str}", OPERATORS, "One run", self.run, None, RunDetail)
        yield Endpoint("POST", "/v1/runs/{run_id:str}/approve", OPERATORS, "Let held changes through", self.approve, None, RunDetail)
        yield Endpoint("POST", "/v1/runs/{run_id:str}/reject", OPERATORS, "Refuse held changes", self.reject, None, RunDetail)
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
        """One run, if it is of the enterprise, with what the brake holds of it."""
        return Answer(run_detail(self.verdicts.show(self._run(call).id)))

    def approve(self, call: Call) -> Answer:
        """Lets through what the brake holds of a run."""
        return self._decide(call, self.verdicts.approve)

    def reject(self, call: Call) -> Answer:
        """Keeps what stands instead of what the brake holds of a run."""
        return self._decide(call, self.verdicts.reject)

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

    def _run(self, call: Call) -> Run:
        run = self.journal.run(call.path["run_id"])
        if run.enterprise != call.enterprise:
            raise StoreError("no such run: emr-sync runs shows them")
        return run

    def _decide(self, call: Call, verdict: Callable[[str, Actor, datetime], HeldSet]) -> Answer:
        run = self._run(call)
        if self.work is not None:
            self.work.expire(call.enterprise)
        verdict(run.id, Actor(call.key.role, call.key.name), call.now)
        return Answer(run_detail(self.verdicts.show(run.id)))

    def _source(self, call: Call, source: Source, heard: datetime | None) -> SourceOut:
        stale = self.freshness.ages(self.store.enterprises[call.enterprise], call.now)(source.name).stale
        last = self.journal.runs(call.enterprise, source.name, 1)
        return SourceOut(source.name, source.display_name or source.name, heard, stale, run_out(last[0]) if last else None)


def run_out(run: Run) -> RunOut:
    """A run as JSON."""
    return RunOut(run.id, run.source, run.kind, run.status, run.started, run.finished, dict(run.counts), run.error)


def run_detail(found: HeldSet) -> RunDetail:
    """A run with its held set as JSON."""
    held = HeldOut(
        found.patients,
        [CountOut(*one) for one in found.counts],
        [ExampleOut(*one) for one in found.sample],
        [VerdictOut(*one) for one in found.verdicts],
    )
    run = run_out(found.run)
    return RunDetail(run.run, run.source, run.kind, run.status, run.started, run.finished, run.counts, run.error, held)


def rejection_out(one: Rejection) -> RejectionOut:
    """A rejection as JSON."""
    return RejectionOut(
        one.id, one.source, one.scope, one.status, one.reason, one.detail, one.path, one.locator, one.times, one.run_id,
        one.first_at, one.last_at,
    )  # fmt: skip
