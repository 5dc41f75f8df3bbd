"""The MLLP listener over real sockets."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hl7
import pytest
from hl7.client import MLLPClient

from adapters.base import AdapterError, IngestResult, Payload, SourceSettings, Unmappable
from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.framing import frame
from adapters.hl7v2.mllp import MllpListener
from adapters.hl7v2.reader import read
from adapters.locators import opaque
from tests.adapters.hl7v2.messages import adt, settings

WAIT = 10.0


class Keeper:
    """A fake engine: keeps the payloads that it receives; it can wait or fail on request."""

    def __init__(self, answer: IngestResult = IngestResult("applied")) -> None:  # noqa: B008 (a frozen value)
        self.answer = answer
        self.groups: list[Sequence[Payload]] = []
        self.failing = False
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def __call__(self, payloads: Sequence[Payload]) -> Sequence[IngestResult]:
        self.entered.set()
        assert self.go_on.wait(WAIT)
        if self.failing:
            raise RuntimeError("the database is down")
        self.groups.append(payloads)
        return [self.answer] * len(payloads)

    @property
    def bodies(self) -> list[bytes]:
        return [payload.body for group in self.groups for payload in group]


def listening(**options: Any) -> SourceSettings:
    return settings(options={"listen": "127.0.0.1:0", **options})


@contextmanager
def served(ingest: Callable[[Sequence[Payload]], Sequence[IngestResult]], **options: Any) -> Iterator[MllpListener]:
    listener = MllpListener(listening(**options))
    thread = threading.Thread(target=listener.serve, args=(ingest,))
    thread.start()
    try:
        assert listener.bound.wait(WAIT)
        yield listener
    finally:
        listener.stop()
        thread.join(WAIT)
        assert not thread.is_alive()


def sender(listener: MllpListener) -> MllpClient:
    assert listener.address is not None
    return MllpClient(*listener.address, timeout=WAIT)


def message(number: int) -> bytes:
    return adt(header=f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|20261101083000||ADT^A08|MSG{number:05d}|P|2.5.1")


def outcome(reply: bytes) -> tuple[str, str]:
    """The acknowledgement code and the control ID of its message."""
    acknowledgement = read(reply)
    return acknowledgement.field("MSA", 1), acknowledgement.field("MSA", 2)


def test_it_works() -> None:
    keeper = Keeper()
    with served(keeper) as listener, sender(listener) as connection:
        assert outcome(connection.send(message(1))) == ("AA", "MSG00001")
        assert outcome(connection.send(message(2))) == ("AA", "MSG00002")
    assert keeper.bodies == [message(1), message(2)]
    assert keeper.groups[0][0].locator == "genhosp-adt:1#1"


def test_nothing_is_answered_before_it_is_committed() -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    with served(keeper) as listener, sender(listener) as connection:
        connection.write(frame(message(1)))
        assert keeper.entered.wait(WAIT)
        connection._socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.receive()
        connection._socket.settimeout(WAIT)
        keeper.go_on.set()
        assert outcome(connection.receive()) == ("AA", "MSG00001")


def test_messages_received_during_a_commit_are_the_next_group() -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    with served(keeper) as listener, sender(listener) as connection:
        connection.write(frame(message(0)))
        assert keeper.entered.wait(WAIT)
        connection.write(b"".join(frame(message(number)) for number in range(1, 50)))
        with sender(listener) as other:
            other.write(frame(message(50)))
            keeper.go_on.set()
            assert [outcome(connection.receive()) for _ in range(50)] == [("AA", f"MSG{number:05d}") for number in range(50)]
            assert outcome(other.receive()) == ("AA", "MSG00050")
    assert len(keeper.groups[0]) == 1
    assert len(keeper.groups) < 10


def test_a_group_has_a_limit() -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    with served(keeper, group_size=10) as listener, sender(listener) as connection:
        connection.write(b"".join(frame(message(number)) for number in range(45)))
        keeper.go_on.set()
        for _ in range(45):
            connection.receive()
    assert max(len(group) for group in keeper.groups) <= 10


def test_each_of_many_connections_gets_its_acknowledgements_in_order() -> None:
    keeper = Keeper()
    failures: list[BaseException] = []

    def send(listener: MllpListener, number: int) -> None:
        try:
            with sender(listener) as connection:
                for start in range(0, 100, 20):
                    ids = [f"MSG{number * 1000 + start + at:05d}" for at in range(20)]
                    connection.write(b"".join(frame(message(number * 1000 + start + at)) for at in range(20)))
                    assert [outcome(connection.receive()) for _ in ids] == [("AA", one) for one in ids]
        except BaseException as error:
            failures.append(error)

    with served(keeper) as listener:
        threads = [threading.Thread(target=send, args=(listener, number)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
    assert failures == []
    assert len(set(keeper.bodies)) == 2000


def test_more_messages_than_the_queue_holds_are_all_handled() -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    with served(keeper) as listener, sender(listener) as connection:
        count = 5000

        def write() -> None:
            connection.write(b"".join(frame(message(number)) for number in range(count)))

        thread = threading.Thread(target=write)
        thread.start()
        assert keeper.entered.wait(WAIT)
        keeper.go_on.set()
        assert [outcome(connection.receive())[1] for _ in range(count)] == [f"MSG{number:05d}" for number in range(count)]
        thread.join(WAIT)


@pytest.mark.parametrize(("answer", "code"), [(IngestResult("rejected", "not_hl7", "why"), "AE"), (IngestResult("unavailable"), "AR")])
def test_a_refusal_is_answered_with_its_code(answer: IngestResult, code: str) -> None:
    with served(Keeper(answer)) as listener, sender(listener) as connection:
        assert outcome(connection.send(message(1))) == (code, "MSG00001")


def test_a_failing_ingest_is_answered_ar_and_the_connection_stays_open() -> None:
    keeper = Keeper()
    keeper.failing = True
    with served(keeper) as listener, sender(listener) as connection:
        reply = connection.send(message(1))
        assert outcome(reply) == ("AR", "MSG00001")
        assert b"database" not in reply
        keeper.failing = False
        assert outcome(connection.send(message(1))) == ("AA", "MSG00001")


def test_a_wrong_number_of_results_is_answered_ar() -> None:
    with served(lambda payloads: []) as listener, sender(listener) as connection:
        assert outcome(connection.send(message(1))) == ("AR", "MSG00001")


def test_a_received_acknowledgement_is_not_answered() -> None:
    keeper = Keeper()
    with served(keeper) as listener, sender(listener) as connection:
        connection.write(frame(adt(header="MSH|^~\\&|A|B|C|D|2026||ACK^A08|ACK7|P|2.5") + b"MSA|AA|7\r"))
        assert outcome(connection.send(message(1))) == ("AA", "MSG00001")
    assert len(keeper.bodies) == 2


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "frame_garbage"),
        (b"\x0bMSH|cut\x0bMSH|whole\x1c\r", "frame_unfinished"),
    ],
)
def test_an_invalid_frame_closes_only_its_connection_and_is_reported(wire: bytes, reason: str) -> None:
    keeper, reported, notified = Keeper(), list[Unmappable](), threading.Event()

    def report(errors: Sequence[Unmappable]) -> None:
        reported.extend(errors)
        notified.set()

    listener = MllpListener(listening(max_message_bytes=4096))
    listener.on_frame_errors = report
    thread = threading.Thread(target=listener.serve, args=(keeper,))
    thread.start()
    assert listener.bound.wait(WAIT)
    with sender(listener) as good, sender(listener) as bad:
        assert outcome(good.send(message(1))) == ("AA", "MSG00001")
        bad.write(frame(message(2)) + wire)
        assert outcome(bad.receive()) == ("AA", "MSG00002")
        with pytest.raises(ConnectionError):
            bad.receive()
        assert notified.wait(WAIT)
        assert outcome(good.send(message(3))) == ("AA", "MSG00003")
    listener.stop()
    thread.join(WAIT)
    assert [(one.reason, one.locator) for one in reported] == [(reason, "genhosp-adt:2")]
    assert reported[0].payload


def test_a_frame_beyond_the_limit_is_answered_and_later_frames_arrive() -> None:
    keeper = Keeper()
    large = message(2) + b"NTE|1||" + b"x" * 100_000
    with served(keeper, max_message_bytes=8192) as listener, sender(listener) as connection:
        connection.write(frame(message(1)) + frame(large) + frame(message(3)))
        assert [outcome(connection.receive()) for _ in range(3)] == [("AA", f"MSG{number:05d}") for number in (1, 2, 3)]
        payload = next(payload for group in keeper.groups for payload in group if payload.refused)
        (item,) = listener.mapper.read(payload)
    assert isinstance(item, Unmappable)
    assert (item.reason, len(payload.body)) == ("frame_too_large", 4096)
    assert payload.body in item.payload
    (again,) = listener.mapper.read(Payload(item.payload, "replayed", payload.received))
    assert isinstance(again, Unmappable)  # the start of a message is not a message, even when it is replayed


def test_a_connection_lost_inside_a_frame_is_reported() -> None:
    notified = threading.Event()
    reported: list[Unmappable] = []
    listener = MllpListener(listening())
    listener.on_frame_errors = lambda errors: (reported.extend(errors), notified.set())[1]
    thread = threading.Thread(target=listener.serve, args=(Keeper(),))
    thread.start()
    assert listener.bound.wait(WAIT)
    with sender(listener) as connection:
        connection.write(b"\x0bMSH|half")
        connection._socket.shutdown(socket.SHUT_WR)
        assert notified.wait(WAIT)
    listener.stop()
    thread.join(WAIT)
    assert [(one.reason, one.payload) for one in reported] == [("frame_unfinished", b"MSH|half")]


def test_a_peer_that_closes_its_side_still_gets_its_acknowledgements() -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    with served(keeper) as listener, sender(listener) as connection:
        connection.write(frame(message(1)))
        assert keeper.entered.wait(WAIT)
        connection._socket.shutdown(socket.SHUT_WR)
        keeper.go_on.set()
        assert outcome(connection.receive()) == ("AA", "MSG00001")
        with pytest.raises(ConnectionError):
            connection.receive()


def test_stop_while_busy_answers_received_messages_and_returns() -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    listener = MllpListener(listening())
    thread = threading.Thread(target=listener.serve, args=(keeper,))
    thread.start()
    assert listener.bound.wait(WAIT)
    with sender(listener) as connection:
        connection.write(frame(message(1)))
        assert keeper.entered.wait(WAIT)
        listener.stop()
        keeper.go_on.set()
        assert outcome(connection.receive()) == ("AA", "MSG00001")
        with pytest.raises(ConnectionError):
            connection.receive()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert listener.address is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.address, WAIT)


def test_a_listener_stopped_before_serve_returns_at_once() -> None:
    listener = MllpListener(listening())
    listener.stop()
    listener.serve(Keeper())
    assert listener.address is not None


def test_a_silent_connection_is_closed() -> None:
    with served(Keeper(), idle_timeout=0.1) as listener, sender(listener) as connection:
        assert outcome(connection.send(message(1))) == ("AA", "MSG00001")
        with pytest.raises(ConnectionError):
            connection.receive()


def test_a_connection_above_the_limit_is_refused() -> None:
    with served(Keeper(), max_connections=1) as listener, sender(listener) as first:
        assert outcome(first.send(message(1))) == ("AA", "MSG00001")
        with sender(listener) as second, pytest.raises(ConnectionError):
            second.receive()
        assert outcome(first.send(message(2))) == ("AA", "MSG00002")


def test_an_address_in_use_stops_the_source_and_check_reports_it() -> None:
    with served(Keeper()) as listener:
        assert listener.address is not None
        host, port = listener.address
        other = MllpListener(listening(listen=f"{host}:{port}"))
        with pytest.raises(AdapterError) as error:
            other.serve(Keeper())
        assert error.value.permanent
        assert [finding.ok for finding in other.check()] == [False]
    assert [finding.ok for finding in MllpListener(listening()).check()] == [True]


@pytest.mark.parametrize("listen", ["", "2575", "host", "host:port", "host:99999"])
def test_an_invalid_address_is_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        MllpListener(listening(listen=listen))


# python-hl7, a common sender


def test_the_client_of_python_hl7_reads_the_acknowledgements() -> None:
    keeper = Keeper()
    with served(keeper) as listener:
        assert listener.address is not None
        with MLLPClient(*listener.address) as client:
            reply = hl7.parse(client.send_message(message(1)).strip(b"\x0b\x1c\r"))
            assert (str(reply.segment("MSA")[1]), str(reply.segment("MSA")[2])) == ("AA", "MSG00001")
            refused = client.send_message(hl7.parse(message(2)))
            assert b"MSA|AA|MSG00002" in refused
    assert keeper.bodies[0] == message(1)


def test_mllp_send_of_python_hl7_sends_a_file(tmp_path: Path) -> None:
    keeper = Keeper()
    source = tmp_path / "messages.mllp"
    source.write_bytes(frame(message(1)) + frame(message(2)))
    with served(keeper) as listener:
        assert listener.address is not None
        tool = Path(sys.executable).with_name("mllp_send")
        command = [os.fspath(tool), "--file", os.fspath(source), "--port", str(listener.address[1]), listener.address[0]]
        done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert done.stdout.count(b"MSA|AA|") == 2
    assert [body.strip() for body in keeper.bodies] == [message(1).strip(), message(2).strip()]


def test_payloads_of_a_file_are_those_of_the_files_adapter(tmp_path: Path) -> None:
    path = tmp_path / "one.hl7"
    path.write_bytes(io.BytesIO(message(1) + message(2)).getvalue())
    assert [payload.locator for payload in MllpListener(listening()).payloads(path)] == [f"{opaque('one.hl7')}#1", f"{opaque('one.hl7')}#2"]
