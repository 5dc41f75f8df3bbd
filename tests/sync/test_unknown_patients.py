"""Whoever asks about many unknown patients over HTTP shows in readiness, metrics and log, however they ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sync.config.loading import load
from sync.runtime import Runtime
from sync.service import Service
from tests.functional.program import hospital, written

ENTERPRISE, JSON, NDJSON = "general-hospital", "application/json", "application/x-ndjson"


@pytest.fixture
def service(tmp_path: Path, sqlite_url: str) -> Iterator[Service]:
    configuration = hospital(sqlite_url, 0)
    configuration["api"] = {"listen": "127.0.0.1:0", "unknown_patients": {"floor": 5, "percent": 50}}
    runtime = Runtime.open(load(written(tmp_path, configuration), {}))
    found = Service(runtime, ["api"])
    found.start()
    yield found
    found.stop()
    runtime.close()


def call(service: Service, method: str, path: str, key: str, body: str | None = None, kind: str = JSON) -> tuple[int, str]:
    assert service.address is not None
    connection = HTTPConnection(*service.address, timeout=30)
    connection.request(method, path, body, {"Authorization": f"Bearer {key}", "Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def ask(number: int) -> dict[str, Any]:
    return {"patient": {"authority": "GENHOSP", "value": f"GUESS{number}"}, "message_type": "automation", "channels": ["sms"]}


def ways(service: Service, key: str) -> None:
    """Seven unknown patients, asked about in five ways, and what is no ask."""
    who = json.dumps(ask(0)["patient"])
    assert call(service, "POST", "/v1/decisions", key, json.dumps(ask(1)))[0] == 200
    assert call(service, "POST", "/v1/decisions/batch", key, json.dumps([ask(2), ask(3), {}]))[0] == 200
    assert call(service, "POST", "/v1/decisions/batch", key, "\n".join(json.dumps(ask(n)) for n in (4, 5)), NDJSON)[0] == 200
    assert call(service, "POST", "/v1/patients/lookup", key, who)[0] == 404
    assert call(service, "GET", "/v1/patients/pt_0000000000000001", key)[0] == 404


def test_a_key_that_asks_about_unknown_patients_shows(service: Service) -> None:
    keys = service.runtime.keys
    number, key = keys.create("reminders", ENTERPRISE, "sender", service.runtime.clock(), grants=["patients"])
    assert json.loads(call(service, "GET", "/readyz", key)[1])["unknown_patients"] == []
    with capture_logs() as log:
        ways(service, key)
        ways(service, key)
    told = [one for one in log if one["event"] == "an API key asks about many unknown patients"]
    assert [(one["key"], one["unknown"], one["log_level"]) for one in told] == [(number, 6, "warning")]
    service.ended.wait(1.1)  # readiness and metrics are kept for a second
    status, text = call(service, "GET", "/readyz", key)
    shown = json.loads(text)
    assert (status, shown["degraded"]) == (200, True)
    assert [(one["key"], one["asked"], one["unknown"]) for one in shown["unknown_patients"]] == [(number, 14, 14)]
    metrics = call(service, "GET", "/metrics", "")[1]
    assert f'emr_sync_unknown_patients_total{{key="{number}"}} 14.0' in metrics
    assert f'emr_sync_look_ups_total{{key="{number}"}} 14.0' in metrics
