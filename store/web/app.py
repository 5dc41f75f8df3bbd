"""The HTTP API as an ASGI application. Everything it needs is passed in; it reads no configuration and starts no work of its own."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Message, Scope

from store.patients.preferences import Preferences
from store.runs.runs import Journal
from store.users.api_keys import ApiKeys
from store.users.unknown_alarm import Alarm
from store.web.api.administration import Administration
from store.web.api.audit import Proof
from store.web.api.decisions import Decisions
from store.web.api.endpoint import JSON, Endpoint
from store.web.api.feed import ChangeFeed
from store.web.api.health import Failed, Health, Intake, nothing_failed, nothing_fails
from store.web.api.openapi import document
from store.web.api.operations import Operations
from store.web.api.opt_outs import OptOuts
from store.web.api.patients import PatientCalls
from store.web.api.rejections import RejectionCalls
from store.web.api.replies import RepliesQueue
from store.web.api.runs import RunCalls
from store.web.http import problem
from store.web.http.auth import Callers
from store.web.http.lanes import Lanes
from store.web.http.unknown_patients import LookUps
from store.web.http.work import SyncWork
from store.web.pages.site import Access, Site

MOST_BYTES = 1024 * 1024  # of any body but a batch
STRICT = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
Lifespan = AbstractAsyncContextManager[None]


def utc_now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)


def never() -> bool:
    """For a service that is stopped by its process."""
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
    ticks: Callable[[], float] = time.monotonic,
    lanes: Lanes | None = None,
) -> Litestar:
    """The application. ``work`` is what ``sync`` does on request; without it those addresses are not there.

    ``closing`` turns true when the service is about to stop, so that long polls end instead of holding it up. ``access`` is who may
    sign in to the pages; without it there are none. ``intake`` tells which sources send what cannot be handled now, ``failures`` what
    failed a moment ago. ``out_of_memory`` is told of each request that failed for lack of it. ``look_ups`` counts the patients that
    keys ask about. ``ticks`` are
    seconds, for what is kept for one.
    """
    lanes = lanes or Lanes.made()
    callers = Callers(keys, store.enterprises, lanes, clock)
    look_ups = look_ups or LookUps(Alarm(), clock)
    decisions = Decisions(store, callers, clock, lanes, look_ups)
    administration = Administration(store, decisions.policies.changed)
    operations = (Operations(store, journal, work), RunCalls(store, journal, work), RejectionCalls(journal, work))
    groups = (PatientCalls(store, look_ups), OptOuts(store), RepliesQueue(store), Proof(store), administration, *operations)
    rows = [row for group in groups for row in group.endpoints()]
    handlers = [
        *decisions.handlers(),
        *(row.handler(callers, clock) for row in rows),
        ChangeFeed(store, callers, closing).handler(),
        *Health(store, metrics, clock, ticks, intake, look_ups.ringing, failures).handlers(callers, lanes),
        _schema(rows),
    ]
    lifespan: list[Lifespan] = [closed(lanes)]
    if access is not None:
        site = Site(store, journal, access, work=work, clock=clock, settings_changed=decisions.policies.changed, lanes=lanes)
        handlers += site.handlers()
        lifespan.append(tended(site))
    return Litestar(
        handlers,
        exception_handlers={Exception: problem.answer, MemoryError: problem.counting(out_of_memory)},
        on_startup=[settle],
        before_send=[strict],
        on_shutdown=[decisions.gathering.close],
        lifespan=lifespan,
        openapi_config=None,  # written from the rows, see openapi.py
        logging_config=None,
        request_max_body_size=MOST_BYTES,
    )


@asynccontextmanager
async def closed(lanes: Lanes) -> AsyncIterator[None]:
    """Ends the threads with the service."""
    yield
    lanes.close()


@asynccontextmanager
async def tended(site: Site) -> AsyncIterator[None]:
    """Has the pages do what is due while the service runs, and when it stops."""
    tending = asyncio.create_task(site.tend())
    yield
    tending.cancel()
    await site.close()


async def strict(message: Message, scope: Scope) -> None:
    """What is answered is about patients, so nobody keeps it on the way, and no browser guesses what it is. Pages and files say more."""
    if message["type"] == "http.response.start":
        headers = list(message["headers"])
        names = [name for name, _ in headers]
        message["headers"] = headers + [one for one in STRICT if one[0] not in names]


def settle() -> None:
    """Tells the collector that what was loaded until now stays.

    Decisions make many short-lived values and no cycles; without this each ten thousand of them pay for another walk through every
    module of the process, which costs a third of the speed of a batch.
    """
    gc.collect()
    gc.freeze()


def _schema(rows: list[Endpoint]) -> HTTPRouteHandler:
    body = document(rows, _version())

    async def schema(request: Request[Any, Any, Any]) -> ASGIResponse:
        return ASGIResponse(body=body, media_type=JSON)

    return HTTPRouteHandler(["/schema", "/schema/openapi.json"], http_method="GET", status_code=200)(schema)


def _version() -> str:
    try:
        return version("emr-sync")
    except PackageNotFoundError:
        return "0"
