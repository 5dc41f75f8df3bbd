"""``GET /v1/changes``: the feed of changed patients, for senders that keep a copy. Long polls wait until there are changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Struct

from store.domain.lock import Role
from store.domain.patient import ChangedPatient
from store.patients import feed_position, feed_rules
from store.patients.preferences import Preferences
from store.web.api.endpoint import ApiResponse, respond
from store.web.api.wire import whole_number
from store.web.http.auth import Callers, caller

SENDERS = frozenset({Role.SENDER})
MOST = 10_000
LONGEST_WAIT = 30
READ_EVERY = 0.25  # seconds between reads of the database, since other processes write too


class ChangeOut(Struct, frozen=True):
    """A patient whose preferences changed. ``seq`` orders the feed."""

    seq: int
    patient: str
    version: int
    at: datetime
    attributes: tuple[str, ...]


class ChangesOut(Struct, frozen=True):
    """A page of the feed. ``next`` and ``epoch`` are ``after`` and ``epoch`` of the next call, even if nothing changed.

    ``rules`` changes when decisions about patients who are not in the feed may have changed: with policies, configuration, stale sources.
    """

    changes: tuple[ChangeOut, ...]
    next: int
    epoch: str
    rules: str


class ChangeFeed:
    """Answers from the store. ``closing`` turns true when the service is about to stop, so that waiting calls end."""

    def __init__(self, store: Preferences, callers: Callers, clock: Callable[[], datetime], closing: Callable[[], bool]) -> None:
        self.store, self.callers, self.clock, self.closing = store, callers, clock, closing

    def handler(self) -> HTTPRouteHandler:
        """The feed's Litestar route."""

        async def changes(request: Request[Any, Any, Any]) -> ASGIResponse:
            key = await caller(request.headers, self.callers, SENDERS)
            query = request.query_params
            after, limit = whole_number(query, "after", 0, 2**63 - 1), whole_number(query, "limit", 1_000, MOST)
            await asyncio.to_thread(feed_position.check, self.store.database, key.enterprise, after, query.get("epoch") or "")
            found = await self._wait(key.enterprise, after, max(limit, 1), whole_number(query, "wait", 0, LONGEST_WAIT))
            page = tuple(ChangeOut(*one) for one in found)
            next_after = page[-1].seq if page else after
            epoch = await asyncio.to_thread(feed_position.epoch, self.store.database, key.enterprise, next_after)
            rules = await asyncio.to_thread(feed_rules.fingerprint, self.store, key.enterprise, self.clock())
            return respond(ApiResponse(ChangesOut(page, next_after, epoch, rules)))

        return HTTPRouteHandler("/v1/changes", http_method="GET", status_code=200)(changes)

    async def _wait(self, enterprise: str, after: int, limit: int, seconds: int) -> Sequence[ChangedPatient]:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            found = await asyncio.to_thread(self.store.changes, enterprise, after, limit)
            remaining = end - loop.time()
            if found or remaining <= 0 or self.closing():
                return found
            await asyncio.sleep(min(READ_EVERY, remaining))
