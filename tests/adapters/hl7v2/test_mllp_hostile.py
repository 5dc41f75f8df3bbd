"""Hostile or broken peers must not use up the connections or the time of others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from adapters.base import Unmappable
from adapters.hl7v2 import tls
from adapters.hl7v2.framing import HEAD, frame
from adapters.hl7v2.mllp import MllpListener
from tests.adapters.hl7v2.certificates import Authority
from tests.adapters.hl7v2.test_mllp import WAIT, Keeper, listening, message, outcome, sender

OTHER = "127.0.0.2"
SOON = 0.2


class Watched:
    """A listener and the events that it reported."""

    def __init__(self, keeper: Keeper, **options: Any) -> None:
        self.listener = MllpListener(listening(**options))
        self.reported: list[Unmappable] = []
        self.refused: list[str] = []
        self.unavailable: list[int] = []
        self.reported_event = threading.Event()
        self.listener.on_frame_errors = self._report
        self.listener.on_refused = self.refused.append
        self.listener.on_unavailable = self.unavailable.append
        self.thread = threading.Thread(target=self.listener.serve, args=(keeper,))

    def _report(self, errors: Sequence[Unmappable]) -> None:
        self.reported.extend(errors)
        self.reported_event.set()

    def connected(self, source: str = "127.0.0.1") -> socket.socket:
        assert self.listener.address is not None
        return socket.create_connection(self.listener.address, WAIT, source_address=(source, 0))


@contextmanager
def watched(keeper: Keeper, **options: Any) -> Iterator[Watched]:
    found = Watched(keeper, **options)
    found.thread.start()
    try:
        assert found.listener.bound.wait(WAIT)
        yield found
    finally:
        found.listener.stop()
        found.thread.join(WAIT)
        assert not found.thread.is_alive()


def is_disconnected(connection: socket.socket) -> bool:
    """Waits until the other side closes."""
    try:
        return connection.recv(4096) == b""
    except ConnectionError:
        return True


def exchanged(connection: socket.socket, number: int) -> bytes:
    connection.sendall(frame(message(number)))
    found = b""
    while not found.endswith(b"\x1c\r"):
        part = connection.recv(4096)
        assert part, "disconnected"
        found += part
    return found


def test_idle_connections_of_one_address_do_not_lock_out_another() -> None:
    with watched(Keeper()) as found, ExitStack() as held:
        for _ in range(256):
            held.enter_context(found.connected())
        for number in range(3):
            with found.connected(OTHER) as emr:
                assert b"MSA|AA|" in exchanged(emr, number)
    assert found.refused.count("address_full") == 256 - 64


def test_connections_per_address_are_limited_and_released() -> None:
    with watched(Keeper(), max_connections_per_address=2) as found:
        with found.connected() as first, found.connected() as second:
            assert b"MSA|AA|" in exchanged(first, 1)
            assert b"MSA|AA|" in exchanged(second, 2)
            with found.connected() as third:
                assert is_disconnected(third)
        for number in range(20):  # each connection is counted only after the previous one has ended
            with found.connected() as one:
                try:
                    assert b"MSA|AA|" in exchanged(one, number)
                    break
                except OSError:
                    continue
        else:
            pytest.fail("the places of connections that ended stay taken")


def test_only_listed_peers_are_served_and_the_others_are_counted() -> None:
    keeper = Keeper()
    with watched(keeper, peers=["127.0.0.2/32", "10.0.0.0/8"]) as found:
        with found.connected() as stranger:
            assert is_disconnected(stranger)
        with found.connected(OTHER) as emr:
            assert b"MSA|AA|" in exchanged(emr, 1)
    assert found.refused == ["not_a_peer"]
    assert keeper.bodies == [message(1)]


def test_unknown_peers_are_refused_before_tls_and_handshakes_count() -> None:
    authority = Authority()
    certificate, key = authority.issue("listener.example")
    secured = {"certificate": certificate, "key": key}
    with watched(Keeper(), tls=secured, max_connections_per_address=1) as found, found.connected():
        with found.connected() as second:
            assert is_disconnected(second)
        context = tls.connecting({"ca": authority.pem})
        assert context is not None
        with context.wrap_socket(found.connected(OTHER), server_hostname="127.0.0.1") as emr:
            assert b"MSA|AA|" in exchanged(emr, 1)
    assert found.refused == ["address_full"]


def test_a_peer_with_an_unfinished_frame_is_disconnected_and_reported_once() -> None:
    with watched(Keeper(), frame_timeout=SOON) as found, found.connected() as peer:
        assert b"MSA|AA|" in exchanged(peer, 1)
        peer.sendall(b"\x0bMSH|half")
        assert is_disconnected(peer)
    assert [(one.reason, one.payload) for one in found.reported] == [("frame_unfinished", b"MSH|half")]


def test_a_peer_that_sends_a_frame_too_slowly_is_disconnected() -> None:
    with watched(Keeper(), frame_timeout=2 * SOON) as found, found.connected() as peer:
        peer.settimeout(SOON / 4)
        ended = False
        for byte in [b"\x0b", *[b"x"] * 200]:
            try:
                peer.sendall(byte)
                ended = peer.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
            if ended:
                break
        assert ended
    assert [one.reason for one in found.reported] == ["frame_unfinished"]


def test_a_peer_that_sends_frame_after_frame_is_not_late() -> None:
    """Each frame has its own timeout, even if every chunk ends inside a frame."""
    with watched(Keeper(), frame_timeout=SOON) as found, sender(found.listener) as peer:
        whole = b"".join(frame(message(number)) for number in range(12))
        cut, half = len(frame(message(0))), 5
        peer.write(whole[:half])
        for number in range(11):
            peer.write(whole[half + number * cut : half + (number + 1) * cut])
            assert outcome(peer.receive())[0] == "AA"
            threading.Event().wait(SOON / 4)
    assert [one.reason for one in found.reported] == ["frame_unfinished"], "only what the last chunk began"


def test_a_frame_is_not_late_while_reading_is_paused() -> None:
    keeper, count = Keeper(), 3000  # more than the queue holds: reading pauses inside a frame
    keeper.go_on.clear()
    with watched(keeper, frame_timeout=SOON, answer_within=WAIT) as found, sender(found.listener) as peer:
        writing = threading.Thread(target=lambda: peer.write(b"".join(frame(message(number)) for number in range(count))))
        writing.start()
        assert keeper.entered.wait(WAIT)
        threading.Event().wait(3 * SOON)
        keeper.go_on.set()
        assert [outcome(peer.receive())[1] for _ in range(count)] == [f"MSG{number:05d}" for number in range(count)]
        writing.join(WAIT)
    assert found.reported == []


def test_only_the_start_of_an_unfinished_frame_is_kept() -> None:
    with watched(Keeper()) as found:
        with found.connected() as peer:
            peer.sendall(b"\x0bMSH|" + b"x" * 500_000)
        assert found.reported_event.wait(WAIT)
    assert [len(one.payload) for one in found.reported] == [HEAD]


def test_messages_are_answered_once_while_the_store_hangs() -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    with watched(keeper, answer_within=SOON) as found, sender(found.listener) as first, sender(found.listener) as second:
        assert outcome(first.send(message(1))) == ("AR", "MSG00001")
        assert outcome(second.send(message(2))) == ("AR", "MSG00002")
        assert outcome(first.send(message(3))) == ("AR", "MSG00003")
        keeper.go_on.set()
        assert outcome(first.send(message(1))) == ("AA", "MSG00001")
        assert outcome(second.send(message(2))) == ("AA", "MSG00002")
    assert sum(found.unavailable) == 3
    assert keeper.bodies == [message(1), message(1), message(2)]


def test_failing_error_reports_do_not_block_acknowledgements() -> None:
    keeper, hangs = Keeper(), threading.Event()
    with watched(keeper, answer_within=SOON) as found:
        found.listener.on_frame_errors = lambda errors: (found.reported_event.set(), hangs.wait(WAIT))[0]
        with found.connected() as bad:
            bad.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert found.reported_event.wait(WAIT)
        with sender(found.listener) as good:
            assert outcome(good.send(message(1))) == ("AR", "MSG00001")
            hangs.set()
            assert outcome(good.send(message(1))) == ("AA", "MSG00001")


def test_a_group_is_limited_by_bytes() -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    with watched(keeper) as found, sender(found.listener) as peer:
        fat = b"NTE|1||" + b"x" * 900_000
        peer.write(frame(message(0)))
        assert keeper.entered.wait(WAIT)
        writing = threading.Thread(target=lambda: peer.write(b"".join(frame(message(number) + fat) for number in range(1, 30))))
        writing.start()
        keeper.go_on.set()
        assert [outcome(peer.receive())[0] for _ in range(30)] == ["AA"] * 30
        writing.join(WAIT)
    assert max(sum(len(one.body) for one in group) for group in keeper.groups) <= 8 * 1024 * 1024
