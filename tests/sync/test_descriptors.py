"""With few file descriptors, the API, each listener and the database keep their share, even under a flood of connections."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any

import pytest

from adapters.hl7v2.admission import Admission
from sync.config.settings import ConnectionLimits
from sync.descriptors import shares
from tests.functional.program import free_port, hospital, written

FEW = 96
SERVE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({n}, {n}))
sys.argv = sys.argv[1:]
from sync.commands.cli import main
main()
"""
MESSAGE = (
    "MSH|^~\\&|ADT|GENHOSP|X|X|20261102080000-0600||ADT^A08|M{n}|P|2.5.1\r"
    "EVN|A08|20261102080000-0600\r"
    "PID|1||MRN{n}^^^GENHOSP^MR||Doe^Jo||19800101\rZCP|1|DNC\r"
)


@pytest.mark.parametrize(
    ("limit", "wanted", "found"),
    [
        (1024, {"api": 512, "adt": 256}, {"api": 512, "adt": 256}),
        (960, {"api": 512, "adt": 256}, {"api": 512, "adt": 256}),
        (576, {"api": 512, "adt": 256}, {"api": 256, "adt": 128}),
        (96, {"api": 512, "adt": 256}, {"api": 32, "adt": 16}),
        (96, {"api": 512, "adt": 1}, {"api": 47, "adt": 1}),
        (16, {"api": 512, "adt": 256}, {"api": 5, "adt": 4}),
        (96, {}, {}),
    ],
)
def test_connection_limits_leave_descriptors_for_the_rest(limit: int, wanted: Mapping[str, int], found: Mapping[str, int]) -> None:
    assert shares(limit, wanted) == found


def test_a_lower_connection_limit_also_lowers_the_limit_per_address() -> None:
    admission = Admission(256, 64)
    admission.limit_connections(16)
    assert [admission.enter("10.0.0.1") for _ in range(5)] == ["", "", "", "", "address_full"]
    assert (admission.max_connections, ConnectionLimits(512, 128).narrowed(32)) == (16, ConnectionLimits(32, 8))
    assert ConnectionLimits(512, 128).narrowed(512) == ConnectionLimits(512, 128)


@contextmanager
def serving(config: Path, log: Path) -> Iterator[str]:
    """Runs the program with few descriptors; gives the address of its API."""
    with log.open("wb") as stream:
        command = [sys.executable, "-c", SERVE.format(n=FEW), "emr-sync", "-c", str(config), "serve", "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream)
    try:
        answers: IO[bytes] | None = process.stdout
        assert answers is not None
        line = answers.readline()
        assert line, log.read_text()[-2000:]
        yield json.loads(line)["address"].removeprefix("http://")
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def flood(stack: ExitStack, address: tuple[str, int], source: str, times: int) -> None:
    """Opens that many idle connections for the duration of the block."""
    for _ in range(times):
        one = stack.enter_context(socket.socket())
        one.settimeout(0.5)  # the kernel connects at once, unless the listener's queue is full
        one.bind((source, 0))
        try:
            one.connect(address)
        except OSError:
            return


def delivered(port: int, number: int) -> str:
    """The acknowledgement of a message."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"\x0b" + MESSAGE.format(n=number).encode() + b"\x1c\r")
        return connection.recv(4096).decode()


def status(address: str, path: str) -> Any:
    host, _, port = address.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_exhausting_a_listeners_connections_stops_neither_the_emr_nor_the_api(tmp_path: Path, sqlite_url: str) -> None:
    port = free_port()
    config = written(tmp_path, hospital(sqlite_url, port) | {"logs": {"format": "json"}})
    with serving(config, tmp_path / "log") as address, ExitStack() as stack:
        flood(stack, ("127.0.0.1", port), "127.0.0.2", 2 * FEW)
        assert ["MSA|AA|" in delivered(port, number) for number in range(5)] == [True] * 5
        for source in ("127.0.0.3", "127.0.0.4", "127.0.0.5"):
            flood(stack, ("127.0.0.1", port), source, 2 * FEW)
        assert [status(address, "/readyz") for _ in range(5)] == [200] * 5
    text = (tmp_path / "log").read_text()
    assert "raise the limit of open files" in text
    assert "Traceback" not in text


def test_exhausting_the_api_connections_does_not_stop_the_emr(tmp_path: Path, sqlite_url: str) -> None:
    port = free_port()
    config = written(tmp_path, hospital(sqlite_url, port) | {"logs": {"format": "json"}})
    with serving(config, tmp_path / "log") as address:
        host, _, api = address.rpartition(":")
        with ExitStack() as stack:
            flood(stack, (host, int(api)), "127.0.0.2", 2 * FEW)
            assert ["MSA|AA|" in delivered(port, number) for number in range(5)] == [True] * 5
        assert status(address, "/readyz") == 200
