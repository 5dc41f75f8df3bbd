"""Connections that a listener refuses are counted, in readiness for some minutes, and logged at most once a minute."""

from __future__ import annotations

import socket
from pathlib import Path

from structlog.testing import capture_logs

from store.web.api.health import Health
from sync.config.loading import load
from sync.runtime import Runtime
from sync.service import Service
from tests.functional.program import free_port, hospital, written

SOURCE = "genhosp-adt"


def test_refused_connections_are_counted_and_logged_once_a_minute(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    runtime = Runtime.open(load(written(tmp_path, hospital(database_url, port, peers=["10.0.0.0/8"])), {}))
    service = Service(runtime, ["listen"])
    with capture_logs() as log:
        service.start()
        try:
            assert service.listeners[0].listener.bound.wait(30)  # type: ignore[attr-defined]
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                    assert connection.recv(1) == b"", "the connection must be closed"
            while runtime.connections.total < 5:  # the last one is counted after it is closed
                service.ended.wait(0.01)
            found = Health(runtime.preferences, None, runtime.clock, failures=runtime.failures).readiness()
        finally:
            service.stop()
            runtime.close()
    assert 'emr_sync_refused_connections_total{reason="not_a_peer",source="genhosp-adt"} 5.0' in runtime.metrics.text().decode()
    assert (found.ready, found.degraded) == (True, True)
    assert [(one.kind, one.count, SOURCE in one.reason) for one in found.failures] == [("connections", 5, False)]
    refusals = [(one["source"], one["reason"]) for one in log if one["event"] == "connections refused"]
    assert refusals == [("genhosp-adt", "not_a_peer")]
