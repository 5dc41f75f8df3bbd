"""An EMR that is the MLLP server: we connect, it sends."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adapters.hl7v2 import endpoint, tls
from adapters.hl7v2.framing import Deframer, frame
from adapters.hl7v2.mllp import MllpListener
from tests.adapters.hl7v2.certificates import Authority
from tests.adapters.hl7v2.messages import settings
from tests.adapters.hl7v2.test_mllp import WAIT, Keeper, message, outcome


class ServerEngine:
    """An interface engine that is a server and sends messages to each client that connects."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(WAIT)
        self.address = "{}:{}".format(*self._server.getsockname())

    @contextmanager
    def accepted(self) -> Iterator[socket.socket]:
        plain, _ = self._server.accept()
        plain.settimeout(WAIT)
        with self._context.wrap_socket(plain, server_side=True) if self._context else plain as connection:
            yield connection

    def close(self) -> None:
        self._server.close()


@contextmanager
def connecting(engine: ServerEngine, keeper: Keeper, **options: object) -> Iterator[MllpListener]:
    listener = MllpListener(settings(options={"connect": engine.address, **options}))
    thread = threading.Thread(target=listener.serve, args=(keeper,))
    thread.start()
    try:
        yield listener
    finally:
        listener.stop()
        thread.join(WAIT)
        engine.close()
        assert not thread.is_alive()


def deliver(connection: socket.socket, number: int) -> tuple[str, str]:
    connection.sendall(frame(message(number)))
    deframer, replies = Deframer(), list[bytes]()
    while not replies:
        replies = deframer.feed(connection.recv(4096))
    return outcome(replies[0])


def test_it_works() -> None:
    engine, keeper = ServerEngine(), Keeper()
    with connecting(engine, keeper), engine.accepted() as connection:
        assert deliver(connection, 1) == ("AA", "MSG00001")
        assert deliver(connection, 2) == ("AA", "MSG00002")
    assert keeper.bodies == [message(1), message(2)]


def test_the_connection_is_reopened_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.01)
    engine, keeper = ServerEngine(), Keeper()
    with connecting(engine, keeper):
        for number in range(3):
            with engine.accepted() as connection:
                assert deliver(connection, number) == ("AA", f"MSG{number:05d}")
    assert keeper.bodies == [message(number) for number in range(3)]


def test_connecting_is_retried_until_the_emr_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    listener = MllpListener(settings(options={"connect": f"127.0.0.1:{port}"}))
    assert [finding.ok for finding in listener.check()] == [False]
    thread = threading.Thread(target=listener.serve, args=(Keeper(),))
    thread.start()
    assert listener.bound.wait(WAIT)
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(WAIT)
        connection, _ = server.accept()
        with connection:
            assert deliver(connection, 1) == ("AA", "MSG00001")
    listener.stop()
    thread.join(WAIT)
    assert not thread.is_alive()


def test_stop_closes_the_connection_and_does_not_reconnect() -> None:
    engine = ServerEngine()
    with connecting(engine, Keeper()) as listener, engine.accepted() as connection:
        assert deliver(connection, 1) == ("AA", "MSG00001")
        listener.stop()
        assert connection.recv(1) == b""


def test_an_outgoing_connection_may_use_mutual_tls() -> None:
    authority = Authority()
    certificate, key = authority.issue("emr.example")
    context = tls.listening({"certificate": certificate, "key": key, "client_ca": authority.pem})
    client_tls = dict(zip(("certificate", "key"), authority.issue("sync.example"), strict=True))
    engine, keeper = ServerEngine(context), Keeper()
    with connecting(engine, keeper, tls={"ca": authority.pem, "server_name": "emr.example", **client_tls}), engine.accepted() as connection:
        assert deliver(connection, 1) == ("AA", "MSG00001")
    assert keeper.bodies == [message(1)]


def test_check_reports_whether_the_emr_accepts_connections() -> None:
    engine = ServerEngine()
    (finding,) = MllpListener(settings(options={"connect": engine.address})).check()
    assert finding.ok
    engine.close()


@pytest.mark.parametrize("options", [{}, {"listen": "127.0.0.1:0", "connect": "127.0.0.1:1"}, {"connect": "nowhere"}])
def test_a_source_either_listens_or_connects(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"listen|connect"):
        MllpListener(settings(options=options))
