"""Runs over HTTP, with the changes that the safeguard holds and people's decisions about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import Struct

from store.domain.lock import Actor, Role
from store.errors import NotFound
from store.holds.review import AwaitingReview, HeldReview, HeldSet
from store.patients.preferences import Preferences
from store.runs.runs import Journal, Run
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.wire import whole_number
from store.web.http.work import SyncWork

OPERATORS = frozenset({Role.OPERATOR})
FILTERS = {"source": "only this source", "limit": "maximum number of runs, up to 1000"}


class WaitingOut(Struct, frozen=True):
    """How many patients' changes await review, and since when."""

    patients: int
    since: datetime


class RunOut(Struct, frozen=True):
    """One pull, batch or resync: ``status`` is queued, running, waiting, stopped, done, failed or held.

    ``note`` is a remark on a run that is done, such as that it read again after an interrupted response.
    ``kind`` ``live``: held changes of a live feed beyond its hourly limit. ``configuration``: a changed configuration that is held.
    """

    run: str
    source: str
    kind: str
    status: str
    started: datetime
    finished: datetime | None
    counts: dict[str, int]
    error: str | None
    waiting: WaitingOut | None = None
    note: str | None = None


class CountOut(Struct, frozen=True):
    """For how many patients one attribute would permit contact in one direction."""

    attribute: str
    direction: str
    patients: int


class ExampleOut(Struct, frozen=True):
    """One held statement: the store's id of its patient, and its direction instead of its value."""

    patient: str
    attribute: str
    direction: str
    path: str
    effective: datetime


class VerdictOut(Struct, frozen=True):
    """A decision about held changes (``approved``, ``rejected`` or ``expired``), and who made it."""

    verdict: str
    actor: str
    at: datetime
    patients: int


class HeldOut(Struct, frozen=True):
    """The changes of a run that the safeguard holds."""

    patients: int
    counts: list[CountOut]
    sample: list[ExampleOut]
    verdicts: list[VerdictOut]


class RunDetail(RunOut, frozen=True, kw_only=True):
    """A run with the changes that the safeguard holds."""

    held: HeldOut


class RunCalls:
    """The endpoints for runs. A caller sees only their own enterprise."""

    def __init__(self, store: Preferences, journal: Journal, work: SyncWork | None, decided: Callable[[], None]) -> None:
        self.store, self.journal, self.work, self.decided = store, journal, work, decided
        self.verdicts = HeldReview(store, journal)

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints."""
        yield Endpoint("GET", "/v1/runs", OPERATORS, "Runs, newest first", self.runs, None, list[RunOut], FILTERS)
        yield Endpoint("GET", "/v1/runs/{run_id:str}", OPERATORS, "One run", self.run, None, RunDetail)
        yield Endpoint("POST", "/v1/runs/{run_id:str}/approve", OPERATORS, "Approve held changes", self.approve, None, RunDetail)
        yield Endpoint("POST", "/v1/runs/{run_id:str}/reject", OPERATORS, "Reject held changes", self.reject, None, RunDetail)

    def runs(self, call: Call) -> ApiResponse:
        """The enterprise's runs."""
        limit = whole_number(call.query, "limit", 50, 1_000)
        waiting = {one.run: one for one in self.verdicts.awaiting_review(call.enterprise)}
        found = self.journal.runs(call.enterprise, call.query.get("source"), limit)
        return ApiResponse([run_out(run, waiting.get(run.id)) for run in found])

    def run(self, call: Call) -> ApiResponse:
        """One run of the enterprise, with its held changes."""
        return self._shown(self._run(call))

    def approve(self, call: Call) -> ApiResponse:
        """Approves the held changes of a run."""
        return self._decide(call, self.verdicts.approve)

    def reject(self, call: Call) -> ApiResponse:
        """Rejects the held changes of a run."""
        return self._decide(call, self.verdicts.reject)

    def _run(self, call: Call) -> Run:
        run = self.journal.run(call.path["run_id"])
        if run.enterprise != call.enterprise:
            raise NotFound("no such run: list them with emr-sync runs")
        return run

    def _decide(self, call: Call, verdict: Callable[[str, Actor, datetime], HeldSet]) -> ApiResponse:
        run = self._run(call)
        if self.work is not None:
            self.work.expire(call.enterprise)
        verdict(run.id, call.actor, call.now)
        self.decided()
        return self._shown(run)

    def _shown(self, run: Run) -> ApiResponse:
        waiting = {one.run: one for one in self.verdicts.awaiting_review(run.enterprise)}
        return ApiResponse(run_detail(self.verdicts.show(run.id), waiting.get(run.id)))


def run_out(run: Run, waiting: AwaitingReview | None = None) -> RunOut:
    """A run, as JSON."""
    waits = WaitingOut(waiting.patients, waiting.since) if waiting else None
    return RunOut(run.id, run.source, run.kind, run.status, run.started, run.finished, dict(run.counts), run.failure, waits, run.note)


def run_detail(found: HeldSet, waiting: AwaitingReview | None = None) -> RunDetail:
    """A run with its held changes, as JSON."""
    held = HeldOut(
        found.impact.patients,
        [CountOut(*one) for one in found.impact.counts],
        [ExampleOut(*one) for one in found.impact.sample],
        [VerdictOut(*one) for one in found.verdicts],
    )
    run = run_out(found.run, waiting)
    return RunDetail(
        run.run, run.source, run.kind, run.status, run.started, run.finished, run.counts, run.error, run.waiting, run.note, held=held
    )
