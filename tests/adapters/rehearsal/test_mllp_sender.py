"""The MLLP sender against peers that behave well and badly, over real sockets."""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.mllp_sender import MllpSender, acknowledgement, control_id

Script = Callable[[str, int], bytes | None]
"""The peer's answer to the n-th message (from 1) with a control ID; ``None`` closes the connection."""


def ack(control: str, code: str = "AA") -> bytes:
    return b"\x0bMSH|^~\\&|PEER|||||||ACK|1|P|2.7\rMSA|%s|%s\r\x1c\r" % (code.encode(), control.encode())


class Peer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.script, self.lock = script, Lock()
        self.seen: dict[str, int] = {}
        self.connections = 0

    def answer(self, control: str) -> bytes | None:
        with self.lock:
            self.seen[control] = self.seen.get(control, 0) + 1
            return self.script(control, self.seen[control])

    def handle_error(self, request: object, client_address: object) -> None:
        """Handles a sender that disconnects."""


class Conversation(socketserver.StreamRequestHandler):
    server: Peer

    def handle(self) -> None:
        self.server.connections += 1
        frame = bytearray()
        while byte := self.rfile.read(1):
            frame += byte
            if not frame.endswith(b"\x1c\r"):
                continue
            reply = self.server.answer(control_id(bytes(frame[1:-2])))
            frame.clear()
            if reply is None:
                return
            self.wfile.write(reply)


@contextmanager
def peer(script: Script) -> Iterator[Peer]:
    with Peer(script) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def sender(server: Peer, **settings: Any) -> MllpSender:
    return MllpSender("127.0.0.1", server.server_address[1], **({"timeout": 5.0, "pause": 0.0} | settings))


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    return list(RehearsalEmr(patients=40).messages())


def test_every_message_is_sent_once_over_several_connections(messages: list[bytes]) -> None:
    with peer(lambda control, _: ack(control)) as server:
        report = sender(server, connections=4).send(messages)
    assert (report.accepted, report.failed, report.given_up, report.resent) == (40, 0, 0, 0)
    assert server.seen == {control_id(message): 1 for message in messages}
    assert server.connections == 4


def test_a_refused_message_is_sent_again(messages: list[bytes]) -> None:
    with peer(lambda control, time: ack(control, "AA" if time == 3 else "AR")) as server:
        report = sender(server).send(messages[:2])
    assert (report.accepted, report.resent, report.codes) == (2, 4, {"AR": 4, "AA": 2})


def test_a_failed_message_is_not_sent_again(messages: list[bytes]) -> None:
    with peer(lambda control, _: ack(control, "AE")) as server:
        report = sender(server).send(messages[:2])
    assert (report.accepted, report.failed, report.resent) == (0, 2, 0)


def test_a_message_that_is_always_refused_is_given_up_and_the_others_go_on(messages: list[bytes]) -> None:
    poison = control_id(messages[0])
    with peer(lambda control, _: ack(control, "AR" if control == poison else "AA")) as server:
        report = sender(server, attempts=3).send(messages[:4])
    assert (report.accepted, report.given_up, server.seen[poison]) == (3, 1, 3)


def test_an_unanswered_message_is_sent_again(messages: list[bytes]) -> None:
    with peer(lambda control, time: ack(control) if time == 2 else b"") as server:
        report = sender(server, timeout=0.1).send(messages[:1])
    assert (report.accepted, report.resent, server.connections) == (1, 1, 2)


def test_a_cut_connection_is_opened_again(messages: list[bytes]) -> None:
    with peer(lambda control, time: ack(control) if time == 2 else None) as server:
        report = sender(server).send(messages[:3])
    assert (report.accepted, report.resent) == (3, 3)


def test_a_late_acknowledgement_does_not_answer_another_message(messages: list[bytes]) -> None:
    with peer(lambda control, _: ack("OLD", "AE") + ack(control)) as server:
        report = sender(server).send(messages[:2])
    assert (report.accepted, report.codes) == (2, {"AA": 2})


def test_an_unreachable_listener_is_reported_without_hanging(messages: list[bytes]) -> None:
    with peer(lambda control, _: ack(control)) as server:
        unreachable = sender(server, attempts=2)
    report = unreachable.send(messages[:3])
    assert (report.sent, report.given_up) == (3, 3)


def test_the_caller_receives_every_acknowledgement(messages: list[bytes]) -> None:
    received: list[tuple[str, str]] = []
    with peer(lambda control, time: ack(control, "AA" if time == 2 else "AR")) as server:
        sender(server, on_ack=lambda control, code: received.append((control, code))).send(messages[:1])
    assert received == [(control_id(messages[0]), "AR"), (control_id(messages[0]), "AA")]


def test_the_emr_sends_all_patients(messages: list[bytes]) -> None:
    emr = RehearsalEmr(patients=40)
    with peer(lambda control, _: ack(control)) as server:
        report = emr.send("127.0.0.1", server.server_address[1])
    assert report.accepted == 40
    assert set(server.seen) == {control_id(message) for message in messages}
    assert report.rate > 0


@pytest.mark.parametrize("body", [b"", b"MSH", b"MSH|^~\\&|A", b"PID|1\rMSA"])
def test_a_response_without_msa_acknowledges_nothing(body: bytes) -> None:
    assert acknowledgement(body) == ("", "")
