"""What systemd is told: ready, alive, reloading, stopping."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync import service_manager
from sync.config import load
from sync.service import serving
from tests.functional.program import free_port, hospital, written


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a service manager that expects a sign every 0.2 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        yield listening


def until(manager: socket.socket, wanted: str) -> list[str]:
    """The states up to one that starts with ``wanted``."""
    found: list[str] = []
    while not found or not found[-1].startswith(wanted):
        found.append(manager.recv(4096).decode())
    return found


def test_a_serving_process_tells_the_service_manager_how_it_is(manager: socket.socket, tmp_path: Path, sqlite_url: str) -> None:
    with serving(load(written(tmp_path, hospital(sqlite_url, free_port())), {}), ["listen"]) as service:
        waiting = threading.Thread(target=service.wait)
        waiting.start()
        assert until(manager, "WATCHDOG") == ["READY=1", "WATCHDOG=1"]
        service.reloads.put(True)
        began = until(manager, "RELOADING")[-1]
        assert began.partition("\n")[2].startswith("MONOTONIC_USEC=")
        assert set(until(manager, "READY")) <= {"READY=1", "WATCHDOG=1"}
        service.ended.set()
        waiting.join(30)
        assert until(manager, "STOPPING")[-1] == "STOPPING=1"


def test_an_abstract_socket_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0emr-sync-{os.getpid()}")
        service_manager.notify("READY=1", {"NOTIFY_SOCKET": f"@emr-sync-{os.getpid()}"})
        listening.settimeout(10)
        assert listening.recv(100) == b"READY=1"


def test_without_a_service_manager_nothing_is_sent(tmp_path: Path) -> None:
    service_manager.notify("READY=1", {})
    service_manager.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "missing")})


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_told_twice_as_often_as_it_asks(environ: dict[str, str], seconds: float | None) -> None:
    assert service_manager.watchdog(environ) == seconds
