"""Roles of a serving process with a start and a stop: listeners and the web server.

Other roles are ``sync.schedule.Clock``, ``sync.queue_worker.QueueWorker`` and ``sync.housekeeping.Housekeeping``.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import uvicorn

from adapters.address import Address
from adapters.base import AdapterError, Adopts, IngestResult, Listener, Payload, ReportsPeerErrors, Unmappable
from adapters.mapping.evidence import message_name
from adapters.notes import HasNotes
from store.db import outage
from store.runs.runs import Rejected
from store.runs.source_notes import SourceNotes
from sync import logs, memory
from sync.config import ConfiguredSource, Settings, api_tls
from sync.http_connections import bounded
from sync.runtime import Runtime, UsageError, lane

REFUSED = "connections were refused ({reason}): check who connects, the limits on connections, and peers; the log names the source"
TOO_LATE = "the database did not answer in time; check its locks and its disk"
Fail = Callable[[str], None]
"""Called with a sentence for people when a role cannot continue. The process then stops."""


class ServiceRole(Protocol):
    """Something that runs until it is stopped. ``stop`` returns when work in progress is done."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class ListenRole:
    """A listener in its own thread."""

    def __init__(self, runtime: Runtime, feed: ConfiguredSource, listener: Listener, fail: Fail) -> None:
        self.runtime, self.feed, self.listener, self.fail = runtime, feed, listener, fail
        self._lane = lane(feed)
        self._why = TOO_LATE
        self._warnings = logs.RareWarnings()
        self._thread = threading.Thread(target=self._serve, name=f"listen-{feed.name}")
        if isinstance(listener, ReportsPeerErrors):
            listener.on_frame_errors = self._bad_frames
            listener.on_refused = self._refused
            listener.on_unavailable = self._unavailable
        if isinstance(listener, HasNotes):
            listener.notes = SourceNotes(runtime.database, feed.name, feed.enterprise)

    def adopt(self, feed: ConfiguredSource) -> bool:
        """Uses a changed configuration and keeps the connections. ``False`` if it needs a new listener."""
        if feed.enterprise != self.feed.enterprise or not isinstance(self.listener, Adopts) or not self.listener.adopt(feed.settings):
            return False
        self.feed = feed
        return True

    def start(self) -> None:
        """Starts listening."""
        self._thread.start()

    def stop(self) -> None:
        """Accepts nothing new; returns when everything received is committed and acknowledged."""
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
        """Ingests payloads. The reason of a failure is kept for readiness, metrics and the log."""
        spans = self.runtime.tracing.received(self.feed.name, payloads) if self.runtime.tracing else None
        try:
            answers = self.runtime.engine.ingest(self._lane, self.listener.mapper, payloads)
        except Exception as error:
            if spans:
                spans.failed(error)
            if isinstance(error, MemoryError):
                self.runtime.memory.add(memory.FAILED)
            self._why = outage.explanation(error) or logs.place(error)
            raise
        if spans:
            spans.committed(answers)
        self._why = TOO_LATE
        if self.feed.name in self.runtime.intake_health.by_source:
            self.runtime.intake_health.committed(self.feed.name)
        return answers

    def _refused(self, reason: str) -> None:
        """Counts a refused connection."""
        self.runtime.metrics.refused.add(self.feed.name, reason)
        self.runtime.connections.add(REFUSED.format(reason=reason))
        self._warnings.warn("connections refused", source=self.feed.name, reason=reason)

    def _unavailable(self, messages: int) -> None:
        """Counts messages that were answered AR."""
        self.runtime.metrics.unavailable.add(self.feed.name, number=messages)
        self.runtime.intake_health.failed(self.feed.name, self.feed.enterprise, messages, self._why)

    def _bad_frames(self, found: Sequence[Unmappable]) -> None:
        """Stores what arrived on connections that had to be closed."""
        runtime, lane = self.runtime, self._lane
        rows = [
            Rejected(one.reason, one.detail, one.path, one.locator, one.payload, evidence_id=message_name(one.payload), nameless=True)
            for one in found
        ]
        with runtime.database.write(lane.enterprise) as transaction:
            kept = runtime.journal.reject(
                transaction, rows, source=lane.source, enterprise=lane.enterprise, run_id=None, now=runtime.clock()
            )
        runtime.metrics.left_out.add(lane.source, number=kept.left_out)
        runtime.metrics.bad_frames.add(lane.source, number=len(found))


class WebRole:
    """The HTTP API, or the address of metrics, in its own thread. ``option`` names the address in errors.

    ``refused`` is called for each connection that is refused because there are too many. ``listening``: a socket to accept from that
    another process has too; without it, one of its own.
    """

    def __init__(
        self,
        app: Any,
        settings: Settings,
        fail: Fail,
        refused: Callable[[], None],
        option: str = "api.listen",
        listening: socket.socket | None = None,
    ) -> None:
        self.fail, self.scheme, address = fail, "https" if settings.tls else "http", settings.listen
        self._tls = api_tls.context(settings)
        self.socket = listening or _listening_socket(address, option)
        self.address = Address(*self.socket.getsockname()[:2])
        config = uvicorn.Config(
            api_tls.strict(app) if settings.tls or settings.trusted_proxies else app,
            http=bounded(settings.connections, refused),
            ws="none",
            log_config=None,
            access_log=settings.access_log,
            server_header=False,
            timeout_graceful_shutdown=10,
            lifespan="on",
            **api_tls.server_options(settings, self._tls),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="api")

    def start(self) -> None:
        """Starts serving."""
        self._thread.start()

    def renew(self, settings: Settings) -> None:
        """Uses the certificate of these settings for new connections."""
        if self._tls is not None and settings.tls is not None:
            api_tls.renew(self._tls, settings.tls)

    def stop(self) -> None:
        """Accepts no new requests; returns when those in progress are answered."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self.socket.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self.socket])
        except (Exception, SystemExit) as error:
            self.fail(f"the API stopped ({logs.place(error)}); please report this line")


def _listening_socket(address: Address, option: str) -> socket.socket:
    try:
        return socket.create_server((address.host, address.port), family=socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    except OSError as error:
        raise UsageError(f"{option}: cannot use {address} ({error.strerror}); choose another port, or stop what uses it") from error
