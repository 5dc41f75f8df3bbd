"""``/healthz``, ``/readyz`` and ``/metrics``: for load balancers and monitors, without a key and without anything about patients.

Without a key ``/readyz`` answers ready or not, and nothing else; with one it tells the rest about the key's enterprise. It looks at most
once a second, in a thread that nothing else takes, so that nobody can stop the answers by asking how they are.

Ready means that decisions can be answered: the database is there and its schema is ours. A source that has not been heard is
reported and does not take the service away from the senders of all the others: each decision says ``stale`` for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Struct, field
from msgspec.structs import replace

from store.db import schema
from store.db.clock_skew import is_noticed
from store.db.recent_failures import FailureState
from store.db.second_cache import SecondCache
from store.domain.enterprise import Enterprise
from store.errors import SchemaOutdated
from store.holds.review import awaiting_review
from store.patients.preferences import Preferences
from store.runs.failed_runs import FailedRun, last_runs
from store.runs.intake_state import IntakeState
from store.runs.processes import Processes, ProcessState, Seen, gone, is_silent, joined
from store.users.api_keys import ApiKey
from store.version import version
from store.web.api.endpoint import ApiResponse, respond
from store.web.http.auth import Callers
from store.web.http.lanes import Lanes
from store.web.http.problem import ProblemDetails
from store.web.http.unknown_patients import UnknownPatients

ANSWERED_WITHIN = 5.0
"""Seconds in which a monitor is answered, whatever the database does."""
KEY_WITHIN = 1.0
"""Seconds more for whose key it is; after that the answer is a stranger's."""
PROMETHEUS = "text/plain; version=0.0.4"  # the framework adds the charset


class SourceState(Struct, frozen=True):
    """``state``: fresh, stale, or orphan for one that left the configuration and is not released.

    ``unreadable``: patients about whom newer evidence of the source could not be read, so that messages to them are refused.
    """

    enterprise: str
    source: str
    state: str
    last_heard: datetime | None
    unreadable: int = 0


class HeldState(Struct, frozen=True):
    """A set that the safeguard holds until a person decides, with the ``run`` that keeps it. ``kind`` ``configuration``: a changed one."""

    enterprise: str
    source: str
    run: str
    kind: str
    patients: int
    since: datetime


class Readiness(Struct, frozen=True):
    """``ready`` is what the status code says; ``degraded``: some source is stale, orphaned or in part unreadable, or something waits.

    ``clock_skew``: seconds by which this machine's clock is ahead of the database's; from five on the service is degraded, too.
    ``intake``: sources whose messages cannot be handled, by any process; the service is degraded until one is committed again.
    ``processes``: those that are gone and were not replaced; the service is degraded until one in their place starts.
    ``runs``: sources whose last run failed; the service is degraded until one succeeds.
    ``failures``: what failed within the last minutes, as this process saw it (``store.db.recent_failures``); it is degraded.
    ``version``: that of this program.
    ``unknown_patients``: keys that ask this process about too many patients whom nobody knows; the service is degraded while they do.
    """

    ready: bool
    degraded: bool
    database: str
    schema: str
    sources: tuple[SourceState, ...]
    held: tuple[HeldState, ...] = ()
    clock_skew: float = 0.0
    intake: tuple[IntakeState, ...] = ()
    processes: tuple[ProcessState, ...] = ()
    unknown_patients: tuple[UnknownPatients, ...] = ()
    failures: tuple[FailureState, ...] = ()
    runs: tuple[FailedRun, ...] = ()
    version: str = field(default_factory=version)

    def told(self, enterprise: str | None) -> Readiness | dict[str, bool]:
        """What a caller of this enterprise may know; a stranger (``None``) only whether it is ready."""
        if enterprise is None:
            return {"ready": self.ready}
        sources = tuple(one for one in self.sources if one.enterprise == enterprise)
        held = tuple(one for one in self.held if one.enterprise == enterprise)
        intake = tuple(one for one in self.intake if one.enterprise == enterprise)
        processes = tuple(one for one in self.processes if one.enterprise in ("", enterprise))
        unknown = tuple(one for one in self.unknown_patients if one.enterprise == enterprise)
        runs = tuple(one for one in self.runs if one.enterprise == enterprise)
        degraded = _degraded(sources, held, (*intake, *processes, *unknown, *runs, *self.failures), self.clock_skew)
        theirs = {"sources": sources, "held": held, "intake": intake, "processes": processes, "unknown_patients": unknown, "runs": runs}
        return replace(self, degraded=degraded, **theirs)


UNREACHABLE = Readiness(ready=False, degraded=False, database="unreachable", schema="unknown", sources=())


def nothing_fails() -> tuple[IntakeState, ...]:
    """For a process that takes no messages."""
    return ()


def nothing_failed() -> tuple[FailureState, ...]:
    """For a process that keeps no count."""
    return ()


def nobody_asks() -> tuple[UnknownPatients, ...]:
    """For a process that is asked nothing."""
    return ()


def nobody_else() -> Readiness | None:
    """For a process that asks no other."""
    return None


Intake = Callable[[], tuple[IntakeState, ...]]
OfService = Callable[[], "Readiness | None"]
Failed = Callable[[], tuple[FailureState, ...]]
Run = Callable[[Callable[[], "Readiness"]], Awaitable["Readiness"]]
"""Has a look taken in another thread."""


def _degraded(sources: Iterable[SourceState], held: Collection[HeldState], failures: Collection[object], clock_skew: float) -> bool:
    failing = bool(held or failures) or is_noticed(timedelta(seconds=clock_skew))
    return failing or any(source.state != "fresh" or source.unreadable for source in sources)


def _absent(one: Seen) -> ProcessState:
    return ProcessState(one.place.enterprise, one.place.role, one.place.source, one.seen)


async def _caller(request: Request[Any, Any, Any], callers: Callers) -> ApiKey | None:
    """Whose key it is, if it is a good one: a load balancer needs none, and a database that is gone must not fail the answer."""
    if "authorization" not in request.headers:
        return None
    try:
        return callers.remembered(request.headers) or await asyncio.wait_for(callers.verify_in_thread(request.headers), KEY_WITHIN)
    except Exception:
        return None


class Health:
    """The answers. ``metrics`` gives the text of all metrics, where there are any; ``intake`` the sources that fail now.

    ``of_service``: the readiness as another process sees it, which knows more; ``None`` where that one does not say.
    """

    def __init__(
        self,
        store: Preferences,
        metrics: Callable[[], bytes] | None,
        clock: Callable[[], datetime],
        ticks: Callable[[], float] = time.monotonic,
        intake: Intake = nothing_fails,
        unknown: Callable[[], tuple[UnknownPatients, ...]] = nobody_asks,
        failures: Failed = nothing_failed,
        of_service: OfService = nobody_else,
    ) -> None:
        self.store, self.clock, self.intake, self.unknown, self.failures = store, clock, intake, unknown, failures
        self.processes = Processes(store.database)
        self.kept = SecondCache[None, Readiness](lambda _: of_service() or self.readiness(), ticks)
        self.metrics = metrics
        self._looking: asyncio.Future[Readiness] | None = None

    def handlers(self, callers: Callers, lanes: Lanes) -> list[HTTPRouteHandler]:
        """The addresses for Litestar."""

        async def alive(request: Request[Any, Any, Any]) -> ASGIResponse:
            return respond(ApiResponse({"alive": True}))

        async def ready(request: Request[Any, Any, Any]) -> ASGIResponse:
            found = await self.in_time(lanes.probes.run)
            key = await _caller(request, callers)
            return respond(ApiResponse(found.told(key.enterprise if key else None), {}, 200 if found.ready else 503))

        async def metrics(request: Request[Any, Any, Any]) -> ASGIResponse:
            if self.metrics is None:
                raise ProblemDetails(404, "not_found", "this process has no metrics")
            return ASGIResponse(body=await lanes.probes.run(self.metrics), media_type=PROMETHEUS)

        named = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}
        return [HTTPRouteHandler(path, http_method="GET", status_code=200)(function) for path, function in named.items()]

    async def in_time(self, run: Run = asyncio.to_thread, seconds: float = ANSWERED_WITHIN) -> Readiness:
        """The readiness; of a database that keeps us waiting, that it cannot be reached. One look at a time, however many ask."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(run(partial(self.kept.get, None)))
        looking = self._looking  # when this one is done, the next caller may have begun another
        done, _ = await asyncio.wait({looking}, timeout=seconds)
        return looking.result() if done else self._unreachable()

    def readiness(self) -> Readiness:
        """Looks at the database, its schema and the sources."""
        intake = self.intake()
        try:
            schema.check(self.store.database)
            sources, held, skew = self._sources(), self._held(), self.store.database.compare_clocks()
            seen, now, runs = self.processes.read(), self.processes.now(), self._runs()
        except SchemaOutdated:
            return Readiness(ready=False, degraded=False, database="ok", schema="outdated", sources=(), intake=intake)
        except Exception:  # whatever the driver raises: its text may name hosts and users
            return self._unreachable()
        intake, absent = joined((*intake, *self._others(seen, now))), tuple(_absent(one) for one in gone(seen, now))
        unknown, failures = self.unknown(), self.failures()
        return Readiness(
            ready=True,
            degraded=_degraded(sources, held, (*intake, *absent, *unknown, *runs, *failures), skew.total_seconds()),
            database="ok",
            schema="ok",
            sources=sources,
            held=held,
            clock_skew=round(skew.total_seconds(), 3),
            intake=intake,
            processes=absent,
            unknown_patients=unknown,
            failures=failures,
            runs=runs,
        )

    def _unreachable(self) -> Readiness:
        return replace(UNREACHABLE, intake=self.intake(), failures=self.failures())

    def _others(self, seen: Iterable[Seen], now: datetime) -> list[IntakeState]:
        """What other processes cannot take."""
        others = [one for one in seen if one.process != self.processes.process and not is_silent(one, now)]
        return [state for one in others if (state := one.intake())]

    def _runs(self) -> tuple[FailedRun, ...]:
        configured = [source.name for enterprise in self.store.enterprises.values() for source in enterprise.sources]
        return tuple(one for one in last_runs(self.store.database, configured).values() if one)

    def _held(self) -> tuple[HeldState, ...]:
        with self.store.database.read() as connection:
            return tuple(HeldState(*one) for one in awaiting_review(self.store.database, connection))

    def _sources(self) -> tuple[SourceState, ...]:
        now = self.clock()
        heard, unread = self.store.freshness.last_heard(now), self.store.unreadable()
        states = [state for enterprise in self.store.enterprises.values() for state in self._of(enterprise, heard, unread, now)]
        configured = {state.source for state in states}
        owners = self.store.freshness.owners()
        orphans = (
            SourceState(owners.get(source, ""), source, "orphan", at, unread.get(source, 0))
            for source, at in heard.items()
            if source not in configured
        )
        return (*states, *orphans)

    def _of(self, enterprise: Enterprise, heard: dict[str, datetime], unread: dict[str, int], now: datetime) -> list[SourceState]:
        age = self.store.freshness.ages(enterprise, now)
        state = {source.name: "stale" if age(source.name).stale else "fresh" for source in enterprise.sources}
        return [SourceState(enterprise.name, name, how, heard.get(name), unread.get(name, 0)) for name, how in state.items()]
