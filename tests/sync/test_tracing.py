"""Traces lead from a message to the decisions that rest on it, across processes, and contain nothing about a patient."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from structlog.testing import capture_logs

from adapters.hl7v2.client import MllpClient
from sync.config.loading import load
from sync.queue import Job
from sync.runtime import Runtime
from sync.service import Service
from sync.tracing import Tracing, configured
from sync.worker import Worker
from tests.functional.program import hospital, written

ENTERPRISE, SOURCE = "general-hospital", "genhosp-adt"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT_BY_US = f"00-{TRACE}-b7ad6b7169203331-01"
PRIVATE = (
    "MRN90001",
    "Tracy",
    "Traceable",
    "19800101",
    "5550144",
    "DRILL",
    "CTRL",
    "NOBODY",
    "ZCP",
    "secret words",
    "config.yaml",
    "sqlite",
)


def message(control: str, code: str = "DNC", mrn: str = "MRN90001") -> bytes:
    return (
        f"MSH|^~\\&|ADT|GENHOSP|X|X|20261101083000-0600||ADT^A08^ADT_A01|{control}|P|2.5.1\rEVN|A08|20261101083000-0600\r"
        f"PID|1||{mrn}^^^GENHOSP^MR||Traceable^Tracy||19800101||||||^PRN^CP^^1^217^5550144\rZCP|1|{code}\r"
    ).encode()


class Process:
    """A serving process with spans of its own."""

    def __init__(self, config: Path, role: str) -> None:
        self.runtime = Runtime.open(load(config, {}))
        self.exporter = InMemorySpanExporter()
        self.runtime.tracing = Tracing(self.runtime.database, SimpleSpanProcessor(self.exporter))
        self.service = Service(self.runtime, [role])
        self.service.start()

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def deliver(self, *messages: bytes) -> list[bytes]:
        listener: Any = self.service.listeners[0].listener
        assert listener.bound.wait(30)
        with MllpClient(*listener.address) as emr:
            return [emr.send(one) for one in messages]

    def ask(self, value: str, **headers: str) -> tuple[int, dict[str, Any]]:
        key = self.runtime.keys.create("texts", ENTERPRISE, "sender", self.runtime.clock())[1]
        body = {"patient": {"authority": "GENHOSP", "value": value}, "message_type": "automation", "channels": ["sms"]}
        assert self.service.address is not None
        with closing(HTTPConnection(*self.service.address, timeout=30)) as connection:
            connection.request("POST", "/v1/decisions", json.dumps(body), {"Authorization": f"Bearer {key}", **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())


@contextmanager
def processes(config: Path, *roles: str) -> Iterator[list[Process]]:
    found = [Process(config, role) for role in roles]
    try:
        yield found
    finally:
        for one in found:
            one.service.stop()
            one.runtime.close()


@pytest.fixture
def config(tmp_path: Path, database_url: str) -> Path:
    return written(tmp_path, hospital(database_url, 0) | {"api": {"listen": "127.0.0.1:0"}})


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_decision_links_to_the_message_that_another_process_received(config: Path) -> None:
    with processes(config, "listen", "api") as (listener, api):
        listener.deliver(message("CTRL1", "OK"), message("CTRL2"))
        status, answer = api.ask("MRN90001", traceparent=SENT_BY_US)
        assert (status, answer["decision"]) == (200, "do_not_send")
        first, second = listener.spans()
        (decision,) = api.spans()
    assert [one.name for one in (first, second, decision)] == ["receive message"] * 2 + ["POST /v1/decisions"]
    assert attributes(second) == {"emr_sync.source": SOURCE, "emr_sync.outcome": "applied"}
    refused = {"emr_sync.decision": "do_not_send", "emr_sync.reason": "do_not_contact"}
    assert attributes(decision) == {"http.request.method": "POST", "http.response.status_code": 200} | refused
    assert [one.context.trace_id for one in decision.links] == [second.context.trace_id], "it rests on the second message"
    assert [one.context.span_id for one in decision.links] == [second.context.span_id]
    assert first.context.trace_id != second.context.trace_id
    assert f"{decision.context.trace_id:032x}" == TRACE, "it continues the sender's trace"
    assert second.start_time is not None
    assert second.end_time is not None
    assert decision.start_time is not None
    assert second.start_time < second.end_time <= decision.start_time, "the span of a message ends with its commit"


def test_spans_contain_nothing_about_a_patient_or_a_message(config: Path) -> None:
    with processes(config, "listen", "api") as (listener, api):
        listener.deliver(message("CTRL1"), message("CTRL2", "secret words"), b"DRILL: no HL7 of Tracy", message("CTRL1"))
        api.ask("MRN90001")
        api.ask("NOBODY", traceparent="no trace of MRN90001")
        spans = [*listener.spans(), *api.spans()]
    assert len(spans) == 6
    text = "\n".join(one.to_json() for one in spans)
    assert not [one for one in PRIVATE if one in text]
    outcomes = [(attributes(one)["emr_sync.outcome"], attributes(one).get("emr_sync.reason")) for one in spans[:4]]
    assert outcomes == [("applied", None), ("applied", None), ("rejected", "not_hl7"), ("unchanged", None)]
    assert spans[0].context.trace_id == spans[3].context.trace_id, "a message that is sent again has the same trace"
    assert attributes(spans[5])["emr_sync.reason"] == "patient_unknown"


def test_a_run_is_a_span_with_its_counts_and_nothing_about_a_patient(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "MRN90001.hl7").write_bytes(message("CTRL1"))
    os.utime(tmp_path / "drop" / "MRN90001.hl7", (0, 0))  # it has not changed for long
    document = hospital(database_url, 0) | {"api": {"listen": "127.0.0.1:0"}}
    source = document["sources"][SOURCE]
    source |= {"adapter": "hl7v2.files", "path": str(tmp_path / "drop"), "schedule": "never"}
    del source["listen"]
    runtime = Runtime.open(load(written(tmp_path, document), {}))
    exporter = InMemorySpanExporter()
    runtime.tracing = Tracing(runtime.database, SimpleSpanProcessor(exporter))
    worker = Worker(runtime)
    assert worker.do(Job(SOURCE))
    runtime.close()
    (span,) = exporter.get_finished_spans()
    counted = {"emr_sync.status": "done", "emr_sync.records.applied": 1}
    assert (span.name, attributes(span)) == ("read source", {"emr_sync.source": SOURCE, "emr_sync.kind": "incremental"} | counted)
    assert not [one for one in PRIVATE if one in span.to_json()]


def test_a_failed_run_is_an_error_without_text(config: Path) -> None:
    with processes(config, "schedule") as (one,):
        assert one.runtime.tracing is not None
        one.runtime.tracing.run(SOURCE, "full").ended("failed", {})
        (span,) = one.spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)


def test_a_message_that_cannot_be_committed_and_a_refused_request_are_errors_without_text(config: Path) -> None:
    with processes(config, "listen", "api") as (listener, api):

        def fails(*_: Any, **__: Any) -> Any:
            raise OSError("Tracy is not storable")

        listener.runtime.engine.intake.arrivals.count = fails  # type: ignore[method-assign]
        assert b"MSA|AR|CTRL1" in listener.deliver(message("CTRL1"))[0]
        api.runtime.keys.verify = fails  # type: ignore[method-assign]
        assert api.ask("MRN90001")[0] == 500
        (received,), (asked,) = listener.spans(), api.spans()
    assert (attributes(received)["error.type"], received.status.status_code) == ("OSError", StatusCode.ERROR)
    assert (attributes(asked)["http.response.status_code"], asked.status.status_code) == (500, StatusCode.ERROR)
    assert "Tracy" not in received.to_json() + asked.to_json()
    assert not received.events
    assert not asked.events


def test_tracing_is_off_unless_a_collector_is_named(config: Path) -> None:
    with closing(Runtime.open(load(config, {}))) as runtime:
        assert configured(runtime.database, {}) is None
        assert configured(runtime.database, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}) is None
        on = configured(runtime.database, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"})
        assert on is not None
        on.close()


def test_a_missing_library_is_reported_and_stops_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with closing(Runtime.open(load(config, {}))) as runtime, capture_logs() as log:
        assert configured(runtime.database, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert [one["event"] for one in log] == ["traces are not sent: install emr-sync[otel]"]


def test_a_service_without_tracing_does_not_load_the_library() -> None:
    code = "import sys, sync.service; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
