"""How the API treats idle connections, and more connections than its limit."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from adapters.address import Address
from sync.config.settings import ConnectionLimits, Settings
from sync.http_connections import Bounded, bounded
from sync.roles import WebRole

QUICK = 0.3


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with an empty body."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def settings(limits: ConnectionLimits) -> Settings:
    return Settings("config.yaml", "sqlite:///x.db", {}, {}, listen=Address("127.0.0.1", 0), connections=limits)


@contextmanager
def served(limits: ConnectionLimits, refused: Callable[[], None] = lambda: None) -> Iterator[Address]:
    role = WebRole(app, settings(limits), pytest.fail, refused)
    role.start()
    try:
        yield role.address
    finally:
        role.stop()


def opened(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=20)


def answered(connection: socket.socket, sent: bytes = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") -> bytes:
    connection.sendall(sent)
    return connection.recv(1000)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: "])
def test_a_connection_without_a_timely_request_is_closed(sent: bytes) -> None:
    with served(ConnectionLimits(header_seconds=QUICK)) as address, opened(address) as connection:
        connection.sendall(sent)
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert connection.recv(1000) == b""


@pytest.mark.parametrize("sent", [b"GET / HT", b"\r\n"])
def test_an_unfinished_second_request_closes_the_connection(sent: bytes) -> None:
    with served(ConnectionLimits(header_seconds=QUICK)) as address, opened(address) as connection:
        assert answered(connection).startswith(b"HTTP/1.1 200 ")
        assert answered(connection, sent).startswith(b"HTTP/1.1 408 ")


def test_connections_over_the_limit_are_refused_and_others_are_answered() -> None:
    refused: list[None] = []
    with served(ConnectionLimits(connections=3), lambda: refused.append(None)) as address, ExitStack() as stack:
        within = [stack.enter_context(opened(address)) for _ in range(3)]
        assert answered(within[0]).startswith(b"HTTP/1.1 200 ")  # so that all connections are in use
        beyond = stack.enter_context(opened(address))
        assert beyond.recv(1000).startswith(b"HTTP/1.1 503 ")
        assert beyond.recv(1000) == b""
        assert answered(within[1]).startswith(b"HTTP/1.1 200 ")
    assert len(refused) == 1


def test_a_closed_connection_frees_its_place() -> None:
    with served(ConnectionLimits(connections=1)) as address:
        for _ in range(3):
            with opened(address) as connection:
                assert answered(connection, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
                while connection.recv(1000):
                    pass


@pytest.mark.parametrize(("host", "taken"), [("192.0.2.1", False), ("192.0.2.2", True), ("127.0.0.1", True), ("::1", True)])
def test_one_remote_host_cannot_take_all_connections(host: str, taken: bool) -> None:
    """A test has no second machine, so the peer addresses are set by hand."""
    kind = bounded(ConnectionLimits(connections=100, per_address=2), lambda: None)
    assert issubclass(kind, Bounded)
    here = [_Named(one) for one in ("192.0.2.1", "192.0.2.1", host)]
    connection = kind.__new__(kind)
    connection.client, connection.connections = (host, 1), set(here)  # type: ignore[arg-type]
    assert connection._too_many() is not taken


class _Named:
    def __init__(self, host: str) -> None:
        self.client = (host, 1)
