"""Traces of messages and decisions (OpenTelemetry), off unless the environment names a collector (``OTEL_EXPORTER_OTLP_ENDPOINT``).

The trace of a message is named by a keyed digest of its source and its own id. So the process that decides can link to the message that a
decision rests on, whichever process received it, and nothing has to be carried or stored for that. The key is in the database.

Attributes are sources, outcomes, reasons and HTTP statuses: nothing about a patient, no ids of messages, no texts of errors.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from adapters.base import IngestResult, Payload
from adapters.mapping.evidence import message_name
from store.db.database import Database
from store.domain.decision_request import SEND, Decision
from store.preference import EMR
from store.runs.runs import RunStatus
from store.runs.source_notes import SourceNotes
from store.version import version
from store.web.http.answer import Headers, first
from sync import logs

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORT_SECONDS = 3.0
"""For one export with its retries. A service that stops waits no longer for a collector that is away."""


def configured(database: Database, environ: Mapping[str, str] = os.environ) -> Tracing | None:
    """The tracing of this process; ``None`` where it is off, or its library is not installed."""
    if not any(environ.get(name) for name in ENDPOINTS) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logs.logger().warning("traces are not sent: install emr-sync[otel]")
        return None
    return Tracing(database, BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_SECONDS)))


class Tracing:
    """Makes spans. ``processor`` exports them; ``close`` sends what is left."""

    def __init__(self, database: Database, processor: Any) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider

        named = {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "emr-sync"), "service.version": version()}
        self._ids = _ids()
        self._provider: TracerProvider = TracerProvider(resource=Resource.create(named), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("emr-sync", version())
        key = SourceNotes(database, "(tracing)", "").change("key", lambda kept: kept or secrets.token_hex(32))
        self._key = bytes.fromhex(key)

    def close(self) -> None:
        """Sends the last spans."""
        with suppress(Exception):
            self._provider.shutdown()

    def received(self, source: str, payloads: Sequence[Payload]) -> MessageSpans:
        """Spans of messages that are about to be committed together."""
        from opentelemetry.trace import SpanKind

        spans = []
        for one in payloads:
            name = message_name(one.body)
            with self._ids.fixed(self._named(source, name) if name else None):
                spans.append(self._begin("receive message", SpanKind.CONSUMER, {"emr_sync.source": source}))
        return MessageSpans(spans)

    def run(self, source: str, kind: str) -> RunSpan:
        """The span of a run, from its first request to the EMR to its last commit."""
        from opentelemetry.trace import SpanKind

        return RunSpan(self._begin("read source", SpanKind.CLIENT, {"emr_sync.source": source, "emr_sync.kind": kind}))

    def asked(self, headers: Headers) -> Ask:
        """The span of a request for a decision. It continues the sender's trace (W3C Trace Context), where there is one."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carried = {"traceparent": first(headers, b"traceparent")}
        context = TraceContextTextMapPropagator().extract(carried)
        return Ask(self, self._begin("POST /v1/decisions", SpanKind.SERVER, {"http.request.method": "POST"}, context))

    def of_message(self, authority: str, name: str) -> SpanContext | None:
        """Where the message that a value rests on is traced; ``None`` for what no source stated."""
        from opentelemetry.trace import SpanContext, TraceFlags

        if not authority.startswith(EMR) or not name:
            return None
        trace, span = self._named(authority.removeprefix(EMR), name)
        return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def _begin(self, name: str, kind: Any, attributes: Mapping[str, str], context: Any = None) -> Span:
        from opentelemetry.context import Context

        return self._tracer.start_span(name, context or Context(), kind, attributes, start_time=time.time_ns())

    def _named(self, source: str, name: str) -> tuple[int, int]:
        """Trace id and span id of a message. A message that is sent again has the same."""
        digest = hmac.digest(self._key, f"{source}\n{name}".encode(), "sha256")
        return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1


class MessageSpans:
    """From a frame to its commit."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans

    def committed(self, results: Sequence[IngestResult]) -> None:
        """What became of each."""
        for span, result in zip(self._spans, results, strict=True):
            span.set_attribute("emr_sync.outcome", str(result.outcome))
            if result.reason:
                span.set_attribute("emr_sync.reason", result.reason)
            span.end()

    def failed(self, error: Exception) -> None:
        """Nothing was committed. Only the type of the error is kept."""
        from opentelemetry.trace import Status, StatusCode

        for span in self._spans:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            span.end()


class RunSpan:
    """A run of a source."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, status: str, counts: Mapping[str, int]) -> None:
        """How it ended, and the number of records by outcome."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("emr_sync.status", status)
        for outcome, number in counts.items():
            self._span.set_attribute(f"emr_sync.records.{outcome}", number)
        if status == RunStatus.FAILED:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Ask:
    """From a request to its answer (``store.web.http.spans.AskSpan``)."""

    def __init__(self, tracing: Tracing, span: Span) -> None:
        self._tracing, self._span = tracing, span

    def decided(self, decision: Decision) -> None:
        """Links to the messages that the decision rests on. The caller may have gone away meanwhile."""
        if not self._span.is_recording():
            return
        self._span.set_attribute("emr_sync.decision", decision.decision)
        if decision.decision != SEND and decision.reasons:
            self._span.set_attribute("emr_sync.reason", decision.reasons[0])
        found = (self._tracing.of_message(one.authority, one.id) for one in decision.evidence)
        for context in {one.span_id: one for one in found if one}.values():
            self._span.add_link(context)

    def answered(self, status: int) -> None:
        """Ends the span."""
        from opentelemetry.trace import Status, StatusCode

        if status:
            self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _ids() -> Any:
    """Random ids, except inside ``fixed`` in the same thread."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        chosen = threading.local()

        @contextmanager
        def fixed(self, ids: tuple[int, int] | None) -> Iterator[None]:
            self.chosen.ids = ids
            try:
                yield
            finally:
                self.chosen.ids = None

        def generate_trace_id(self) -> int:
            ids: tuple[int, int] | None = getattr(self.chosen, "ids", None)
            return ids[0] if ids else super().generate_trace_id()

        def generate_span_id(self) -> int:
            ids: tuple[int, int] | None = getattr(self.chosen, "ids", None)
            return ids[1] if ids else super().generate_span_id()

    return Ids()
