"""Limits on HTTP connections that the server lacks: their number, and how long one may stay silent.

uvicorn closes a connection that is idle after a request (``timeout_keep_alive``), but lets one wait forever before its first, and its
``limit_concurrency`` answers 503 to everybody while there are idle ones. So surplus connections are closed here, when they connect.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sync.config.settings import ConnectionLimits

FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
LOGGED_EVERY = 60.0
log = logging.getLogger("emr_sync.web")


class Bounded(HttpToolsProtocol):
    """A connection with limits. :func:`bounded` creates a subclass per server, whose attributes all its connections share."""

    limits = ConnectionLimits()
    logged_at = float("-inf")
    refused: Callable[[], None]
    _deadline: asyncio.TimerHandle | None = None
    _headers_to_come = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accepts the connection, or closes it if there are too many."""
        super().connection_made(transport)
        if self._too_many():
            self.refused()
            self._log_refusal()
            self._end(FULL)
            return
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timer."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Starts a timer for incomplete headers. Most headers arrive in one piece and need none."""
        super().data_received(data)
        incomplete = self._headers_to_come or self.cycle is None or self.cycle.response_complete  # empty lines are not a request
        if not incomplete:
            self._disarm()
        elif self._deadline is None:
            self._arm()

    def on_message_begin(self) -> None:
        """Notes the start of a request."""
        super().on_message_begin()
        self._headers_to_come = True

    def on_headers_complete(self) -> None:
        """Notes that the headers are complete. The body has a time limit of its own (``store.web.http.body``)."""
        self._headers_to_come = False
        super().on_headers_complete()

    def _too_many(self) -> bool:
        if len(self.connections) > self.limits.connections:
            return True
        host = self.client[0] if self.client else ""
        return not _is_local(host) and sum(1 for one in self.connections if _host(one) == host) > self.limits.per_address

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(self.limits.header_seconds, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            self._end(LATE)

    def _end(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()

    def _log_refusal(self) -> None:
        """Logs a refusal, at most once a minute, so that callers cannot fill the log."""
        kind, now = type(self), self.loop.time()
        if now - kind.logged_at >= LOGGED_EVERY:
            kind.logged_at = now
            log.warning("connections refused: %d are open; raise api.connections or api.connections_per_address", len(self.connections))


def bounded(limits: ConnectionLimits, refused: Callable[[], None]) -> type[Bounded]:
    """The connection class of one server. ``refused`` is called for each connection beyond the limits."""
    return type("BoundedConnection", (Bounded,), {"limits": limits, "refused": staticmethod(refused)})


def _host(connection: Any) -> str:
    return connection.client[0] if connection.client else ""


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
