"""The HTTP API as an ASGI application. Everything it needs is passed in; it reads no configuration and starts no runs by itself."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import ExceptionHandlersMap, Message, Scope

from store.db.database import utc_now
from store.holds.held_settings import SettingsChanges
from store.patients.preferences import Preferences
from store.patients.unsubscribe import UnsubscribeLinks
from store.runs.runs import Journal
from store.users.api_keys import ApiKeys
from store.users.unknown_alarm import Alarm
from store.version import version
from store.web.api import inbound
from store.web.api.address_opt_outs import AddressOptOutCalls
from store.web.api.administration import Administration
from store.web.api.audit import AuditCalls
from store.web.api.decisions import Decisions
from store.web.api.endpoint import JSON, Endpoint
from store.web.api.feed import ChangeFeed
from store.web.api.front import Front
from store.web.api.health import Failed, Health, Intake, OfService, nobody_else, nothing_failed, nothing_fails
from store.web.api.inbound import Receive
from store.web.api.openapi import document
from store.web.api.operations import Operations
from store.web.api.opt_outs import OptOuts
from store.web.api.patients import PatientCalls
from store.web.api.rejections import RejectionCalls
from store.web.api.replies import RepliesQueue
from store.web.api.runs import RunCalls
from store.web.api.unsubscribe import OneClick
from store.web.api.worklist import WorklistCalls
from store.web.http import problem
from store.web.http.answer import STRICT
from store.web.http.auth import Callers
from store.web.http.body import MOST_BYTES
from store.web.http.decision_counts import DecisionCounts
from store.web.http.lanes import Lanes
from store.web.http.spans import BeginSpan
from store.web.http.unknown_patients import LookUps
from store.web.http.work import SyncWork, permits_nobody
from store.web.pages.site import Access, Site
from store.web.pages.unknown_addresses import UnknownAddresses

Lifespan = AbstractAsyncContextManager[None]


def never() -> bool:
    """The default of ``closing``: the service ends with its process."""
    return False


def nobody_counts() -> None:
    """For a service without metrics."""


def create_app(
    store: Preferences,
    journal: Journal,
    keys: ApiKeys,
    *,
    work: SyncWork | None = None,
    metrics: Callable[[], bytes] | None = None,
    clock: Callable[[], datetime] = utc_now,
    closing: Callable[[], bool] = never,
    access: Access | None = None,
    intake: Intake = nothing_fails,
    failures: Failed = nothing_failed,
    out_of_memory: Callable[[], None] = nobody_counts,
    look_ups: LookUps | None = None,
    counts: DecisionCounts | None = None,
    begin_span: BeginSpan | None = None,
    ticks: Callable[[], float] = time.monotonic,
    lanes: Lanes | None = None,
    public_url: str | None = None,
    receive: Receive | None = None,
    push: Receive | None = None,
    of_service: OfService = nobody_else,
) -> Front:
    """The application. ``work`` is what ``sync`` does on request; without it those endpoints do not exist.

    ``closing`` turns true when the service is about to stop, so that long polls end instead of delaying it. ``access`` controls who may
    sign in to the pages; without it there are no pages. ``intake`` returns the sources whose messages cannot be processed now,
    ``failures`` what failed within the last minutes. ``out_of_memory`` is called for each request that failed for lack of memory.
    ``look_ups`` counts the patients that keys ask about, ``counts`` decisions; ``begin_span`` traces them. ``ticks`` is a clock in seconds
    for caches. ``public_url``: how mailbox providers reach this service. ``receive`` handles webhooks of messaging providers, ``push``
    notifications of EMRs; without them those endpoints do not exist. ``of_service``: the readiness of the whole service, from another
    process.
    """
    lanes = lanes or Lanes.create()
    callers = Callers(keys, store.enterprises, lanes, clock)
    look_ups, counts = look_ups or LookUps(Alarm(), clock), counts or DecisionCounts()
    decisions = Decisions(store, callers, clock, lanes, look_ups, counts)
    settings = SettingsChanges(store, work.permits if work else permits_nobody)
    administration = Administration(store, settings, decisions.policies.changed)
    operations = (
        Operations(store, journal, work),
        RunCalls(store, journal, work, decisions.policies.changed),
        RejectionCalls(journal, work),
    )
    links = UnsubscribeLinks(store.replies.sealing, public_url)
    consent = (OptOuts(store), AddressOptOutCalls(store, links), RepliesQueue(store), WorklistCalls(store))
    groups = (PatientCalls(store, look_ups), *consent, AuditCalls(store), administration, *operations)
    rows = [row for group in groups for row in group.endpoints()]
    handlers = [
        *decisions.handlers(),
        *(row.handler(callers, clock) for row in rows),
        ChangeFeed(store, callers, clock, closing).handler(),
        *Health(store, metrics, clock, ticks, intake, look_ups.ringing, failures, of_service).handlers(callers, lanes),
        *OneClick(store, links, clock).handlers(),
        _schema(rows),
        *([inbound.handler(inbound.PROVIDERS, receive, lanes.inbound)] if receive else []),
        *([inbound.handler(inbound.PUSH, push, lanes.push)] if push else []),
    ]
    lifespan: list[Lifespan] = [threads_closed(lanes)]
    on_error: ExceptionHandlersMap = {Exception: problem.answer, MemoryError: problem.counting(out_of_memory)}
    if access is not None:
        site = Site(store, journal, access, settings, work=work, clock=clock, decisions=decisions, lanes=lanes)
        handlers += site.handlers()
        on_error[404] = on_error[405] = UnknownAddresses(site.frame, clock).answer
        lifespan.append(pages_running(site))
    framework = Litestar(
        handlers,
        exception_handlers=on_error,
        on_startup=[freeze_modules],
        before_send=[add_strict_headers],
        on_shutdown=[decisions.batcher.close],
        lifespan=lifespan,
        openapi_config=None,  # built by openapi.py
        logging_config=None,
        request_max_body_size=MOST_BYTES,
    )
    return Front(framework, decisions.answer, out_of_memory, counts, begin_span)


def create_monitoring(
    store: Preferences,
    keys: ApiKeys,
    metrics: Callable[[], bytes],
    clock: Callable[[], datetime] = utc_now,
    *,
    intake: Intake = nothing_fails,
    failures: Failed = nothing_failed,
) -> Litestar:
    """``/healthz``, ``/readyz`` and ``/metrics`` of a process, as the API has them, for one without the API."""
    lanes = Lanes.create()
    health = Health(store, metrics, clock, intake=intake, failures=failures)
    return Litestar(
        health.handlers(Callers(keys, store.enterprises, lanes, clock), lanes),
        exception_handlers={Exception: problem.answer},
        before_send=[add_strict_headers],
        lifespan=[threads_closed(lanes)],
        openapi_config=None,
        logging_config=None,
    )


@asynccontextmanager
async def threads_closed(lanes: Lanes) -> AsyncIterator[None]:
    """Ends the threads when the service stops: nothing may use the database once it is closed."""
    yield
    await asyncio.to_thread(lanes.close)


@asynccontextmanager
async def pages_running(site: Site) -> AsyncIterator[None]:
    """Runs the pages' periodic work while the service runs, and closes them when it stops."""
    task = asyncio.create_task(site.tend())
    yield
    task.cancel()
    await site.close()


async def add_strict_headers(message: Message, scope: Scope) -> None:
    """Adds the headers that every answer has. Pages and files set more of their own."""
    if message["type"] == "http.response.start":
        headers = list(message["headers"])
        names = [name for name, _ in headers]
        message["headers"] = headers + [one for one in STRICT if one[0] not in names]


def freeze_modules() -> None:
    """Excludes everything loaded so far from garbage collection.

    Decisions create many short-lived values and no cycles. Without this, each ten thousand of them would trigger another walk through
    all modules of the process, which costs a third of the speed of a batch.
    """
    gc.collect()
    gc.freeze()


def _schema(rows: list[Endpoint]) -> HTTPRouteHandler:
    @cache
    def body() -> bytes:
        """Created when first requested: it takes a third of the time in which the application is built."""
        return document(rows, version())

    async def schema(request: Request[Any, Any, Any]) -> ASGIResponse:
        return ASGIResponse(body=body(), media_type=JSON)

    return HTTPRouteHandler(["/schema", "/schema/openapi.json"], http_method="GET", status_code=200)(schema)
