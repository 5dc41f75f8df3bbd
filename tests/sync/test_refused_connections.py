"""Connections that a listener refuses are counted, and told of in the log, but not each."""

from __future__ import annotations

import socket
from pathlib import Path

from structlog.testing import capture_logs

from sync.config.loading import load
from sync.runtime import Runtime
from sync.service import Service
from tests.functional.program import free_port, hospital, written


def test_refused_connections_are_counted_and_logged_once_a_minute(tmp_path: Path, sqlite_url: str) -> None:
    port = free_port()
    runtime = Runtime.open(load(written(tmp_path, hospital(sqlite_url, port, peers=["10.0.0.0/8"])), {}))
    service = Service(runtime, ["listen"])
    with capture_logs() as log:
        service.start()
        try:
            assert service.listeners[0].listener.bound.wait(30)  # type: ignore[attr-defined]
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                    assert connection.recv(1) == b"", "it is closed"
        finally:
            service.stop()
            runtime.close()
    assert 'emr_sync_refused_connections_total{reason="not_a_peer",source="genhosp-adt"} 5.0' in runtime.metrics.text({}).decode()
    told = [(one["source"], one["reason"]) for one in log if one["event"] == "connections refused"]
    assert told == [("genhosp-adt", "not_a_peer")]
