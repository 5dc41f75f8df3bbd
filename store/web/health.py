"""``/healthz``, ``/readyz`` and ``/metrics``: for load balancers and monitors, without a key and without anything about patients.

Ready means that decisions can be answered: the database is there and its schema is ours. A source that has not been heard is
reported and does not take the service away from the senders of all the others: each decision says ``stale`` for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Struct
from msgspec.structs import replace

from store import schema
from store.brake.waiting import waiting
from store.clock_skew import is_noticed
from store.enterprise import Enterprise
from store.errors import SchemaOutdated
from store.preferences import Preferences
from store.sources.intake_state import IntakeState
from store.web.endpoint import Answer, respond
from store.web.problem import Problem

ANSWERED_WITHIN = 5.0
"""Seconds in which a monitor is answered, whatever the database does."""
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
    """A set that the brake holds until a person decides, with the ``run`` that keeps it. ``kind`` ``configuration``: a changed one."""

    enterprise: str
    source: str
    run: str
    kind: str
    patients: int
    since: datetime


class Readiness(Struct, frozen=True):
    """``ready`` is what the status code says; ``degraded``: some source is stale, orphaned or in part unreadable, or something waits.

    ``clock_skew``: seconds by which this machine's clock is ahead of the database's; from five on the service is degraded, too.
    ``intake``: sources whose messages cannot be handled; the service is degraded until one is committed again.
    """

    ready: bool
    degraded: bool
    database: str
    schema: str
    sources: tuple[SourceState, ...]
    held: tuple[HeldState, ...] = ()
    clock_skew: float = 0.0
    intake: tuple[IntakeState, ...] = ()


UNREACHABLE = Readiness(ready=False, degraded=False, database="unreachable", schema="unknown", sources=())


def nothing_fails() -> tuple[IntakeState, ...]:
    """For a process that takes no messages."""
    return ()


Intake = Callable[[], tuple[IntakeState, ...]]


class Health:
    """The answers. ``metrics`` gives the text of all metrics, where there are any; ``intake`` the sources that fail now."""

    def __init__(
        self, store: Preferences, metrics: Callable[[], bytes] | None, clock: Callable[[], datetime], intake: Intake = nothing_fails
    ) -> None:
        self.store, self.metrics, self.clock, self.intake = store, metrics, clock, intake
        self._looking: asyncio.Future[Readiness] | None = None

    def handlers(self) -> list[HTTPRouteHandler]:
        """The addresses for Litestar."""

        async def alive(request: Request[Any, Any, Any]) -> ASGIResponse:
            return respond(Answer({"alive": True}))

        async def ready(request: Request[Any, Any, Any]) -> ASGIResponse:
            found = await self.in_time()
            return respond(Answer(found, {}, 200 if found.ready else 503))

        async def metrics(request: Request[Any, Any, Any]) -> ASGIResponse:
            if self.metrics is None:
                raise Problem(404, "not_found", "this process has no metrics")
            return ASGIResponse(body=await asyncio.to_thread(self.metrics), media_type=PROMETHEUS)

        named = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}
        return [HTTPRouteHandler(path, http_method="GET", status_code=200)(function) for path, function in named.items()]

    async def in_time(self, seconds: float = ANSWERED_WITHIN) -> Readiness:
        """The readiness; of a database that keeps us waiting, that it cannot be reached. One look at a time, however many ask."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(asyncio.to_thread(self.readiness))
        done, _ = await asyncio.wait({self._looking}, timeout=seconds)
        return self._looking.result() if done else replace(UNREACHABLE, intake=self.intake())

    def readiness(self) -> Readiness:
        """Looks at the database, its schema and the sources."""
        intake = self.intake()
        try:
            schema.check(self.store.database)
            sources, held, skew = self._sources(), self._held(), self.store.database.compare_clocks()
        except SchemaOutdated:
            return Readiness(ready=False, degraded=False, database="ok", schema="outdated", sources=(), intake=intake)
        except Exception:  # whatever the driver raises: its text may name hosts and users
            return replace(UNREACHABLE, intake=intake)
        degraded = bool(held or intake) or is_noticed(skew) or any(source.state != "fresh" or source.unreadable for source in sources)
        return Readiness(
            ready=True,
            degraded=degraded,
            database="ok",
            schema="ok",
            sources=sources,
            held=held,
            clock_skew=round(skew.total_seconds(), 3),
            intake=intake,
        )

    def _held(self) -> tuple[HeldState, ...]:
        with self.store.database.read() as connection:
            return tuple(HeldState(*one) for one in waiting(self.store.database, connection))

    def _sources(self) -> tuple[SourceState, ...]:
        now = self.clock()
        heard, unread = self.store.freshness.last_heard(now), self.store.unreadable()
        states = [state for enterprise in self.store.enterprises.values() for state in self._of(enterprise, heard, unread, now)]
        configured = {state.source for state in states}
        orphans = (SourceState("", source, "orphan", at, unread.get(source, 0)) for source, at in heard.items() if source not in configured)
        return (*states, *orphans)

    def _of(self, enterprise: Enterprise, heard: dict[str, datetime], unread: dict[str, int], now: datetime) -> list[SourceState]:
        age = self.store.freshness.ages(enterprise, now)
        state = {source.name: "stale" if age(source.name).stale else "fresh" for source in enterprise.sources}
        return [SourceState(enterprise.name, name, how, heard.get(name), unread.get(name, 0)) for name, how in state.items()]
