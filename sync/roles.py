"""Roles of a serving process, each a thing with a start and a stop: listeners and the web server.

The others are ``sync.schedule.Clock``, ``sync.queue_worker.QueueWorker`` and ``sync.housekeeping.Housekeeping``.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import uvicorn

from adapters.base import AdapterError, IngestResult, Listener, Payload, TellsOfPeers, Unmappable
from adapters.mapping.evidence import named
from adapters.notes import KeepsNotes
from store.db import outage
from store.runs.runs import Rejected
from store.runs.source_notes import SourceNotes
from sync import logs, memory
from sync.config import ConfiguredSource, Settings, api_tls
from sync.config.scalars import Address
from sync.http_connections import bounded
from sync.runtime import Parts, UsageError, lane

TOO_LATE = "the database did not answer in time; check its locks and its disk"
TOLD_EVERY = 60.0
Fail = Callable[[str], None]
"""Told when a role cannot go on, in a sentence for people. The process stops."""


class ServiceRole(Protocol):
    """Something that runs until it is stopped. ``stop`` returns when what was under way is done."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class ListenRole:
    """One listener in a thread of its own."""

    def __init__(self, parts: Parts, feed: ConfiguredSource, listener: Listener, fail: Fail) -> None:
        self.parts, self.feed, self.listener, self.fail = parts, feed, listener, fail
        self._lane = lane(feed)
        self._why = TOO_LATE
        self._refusals_told: dict[str, float] = {}
        self._thread = threading.Thread(target=self._serve, name=f"listen-{feed.name}")
        if isinstance(listener, TellsOfPeers):
            listener.on_frame_errors = self._bad_frames
            listener.on_refused = self._refused
            listener.on_unavailable = self._unavailable
        if isinstance(listener, KeepsNotes):
            listener.notes = SourceNotes(parts.database, feed.name, feed.enterprise)

    def start(self) -> None:
        """Starts listening."""
        self._thread.start()

    def stop(self) -> None:
        """Takes nothing new; returns when everything received is committed and acknowledged."""
        self.listener.stop()
        self._thread.join()

    def _serve(self) -> None:
        try:
            self.listener.serve(self._ingest)
        except AdapterError as error:
            self.fail(f"{self.feed.name}: {error}")
        except Exception as error:
            self.fail(f"{self.feed.name}: the listener stopped ({logs.place(error)}); please report this line")

    def _ingest(self, payloads: Sequence[Payload]) -> Sequence[IngestResult]:
        """As the engine does it. What keeps it from that is remembered for whoever looks at readiness, metrics and the log."""
        try:
            answers = self.parts.engine.ingest(self._lane, self.listener.mapper, payloads)
        except Exception as error:
            if isinstance(error, MemoryError):
                self.parts.memory.add(memory.FAILED)
            self._why = outage.told(error) or logs.place(error)
            raise
        self._why = TOO_LATE
        self.parts.intake_health.committed(self.feed.name)
        return answers

    def _refused(self, reason: str) -> None:
        """A connection was. Logged once a minute for each reason: whoever connects too often must not fill the log."""
        self.parts.metrics.refused(self.feed.name, reason)
        now = time.monotonic()
        if now - self._refusals_told.get(reason, float("-inf")) >= TOLD_EVERY:
            self._refusals_told[reason] = now
            logs.logger().warning("connections refused", source=self.feed.name, reason=reason)

    def _unavailable(self, messages: int) -> None:
        """So many were answered AR."""
        self.parts.metrics.unavailable(self.feed.name, messages)
        self.parts.intake_health.failed(self.feed.name, self.feed.enterprise, messages, self._why)

    def _bad_frames(self, found: Sequence[Unmappable]) -> None:
        """Keeps what came on connections that had to be closed."""
        parts, lane = self.parts, self._lane
        rows = [
            Rejected(one.reason, one.detail, one.path, one.locator, one.payload, evidence_id=named(one.payload), nameless=True)
            for one in found
        ]
        with parts.database.write(lane.enterprise) as transaction:
            kept = parts.journal.reject(transaction, rows, source=lane.source, enterprise=lane.enterprise, run_id=None, now=parts.clock())
        parts.metrics.left_out(lane.source, kept.left_out)
        for _ in found:
            parts.metrics.bad_frame(lane.source)


class WebRole:
    """The HTTP API in a thread of its own."""

    def __init__(self, app: Any, settings: Settings, fail: Fail) -> None:
        self.fail, self.scheme, address = fail, "https" if settings.tls else "http", settings.listen
        options = api_tls.server_options(settings)
        self._socket = _bound(address)
        self.address = Address(*self._socket.getsockname()[:2])
        config = uvicorn.Config(
            api_tls.strict(app),
            http=bounded(settings.connections),
            ws="none",
            log_config=None,
            access_log=settings.access_log,
            server_header=False,
            timeout_graceful_shutdown=10,
            lifespan="on",
            **options,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="api")

    def start(self) -> None:
        """Starts answering."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no new requests; returns when those under way are answered."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except (Exception, SystemExit) as error:
            self.fail(f"the API stopped ({logs.place(error)}); please report this line")


def _bound(address: Address) -> socket.socket:
    try:
        return socket.create_server((address.host, address.port), family=socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    except OSError as error:
        raise UsageError(f"api.listen: cannot use {address} ({error.strerror}); choose another port, or stop what uses it") from error
