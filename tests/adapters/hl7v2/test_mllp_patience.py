"""Slow peers: those that wait long for an answer, and those that read their answers slowly."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from adapters.base import IngestResult
from adapters.hl7v2.framing import frame
from tests.adapters.hl7v2.test_mllp import WAIT, Keeper, message, outcome, sender, served

IDLE = 0.1
COUNT = 5_000
LONG = IngestResult("rejected", "odd", "x" * 8_000)
"""Makes acknowledgements long: together they exceed the socket buffers of both ends."""


@pytest.mark.parametrize("messages", [1, 3])
def test_a_peer_that_waits_for_its_acknowledgement_is_not_disconnected(messages: int) -> None:
    keeper = Keeper()
    keeper.go_on.clear()
    with served(keeper, idle_timeout=IDLE, group_size=1) as listener, sender(listener) as connection:
        connection.write(b"".join(frame(message(number)) for number in range(messages)))
        assert keeper.entered.wait(WAIT)
        time.sleep(5 * IDLE)
        keeper.go_on.set()
        assert [outcome(connection.receive())[0] for _ in range(messages)] == ["AA"] * messages
        with pytest.raises(ConnectionError):
            connection.receive()


def test_the_idle_time_starts_after_the_acknowledgement() -> None:
    keeper, idle = Keeper(), 10 * IDLE
    keeper.go_on.clear()
    with served(keeper, idle_timeout=idle) as listener, sender(listener) as connection:
        connection.write(frame(message(0)))
        assert keeper.entered.wait(WAIT)
        time.sleep(1.5 * idle)
        keeper.go_on.set()
        assert outcome(connection.receive())[0] == "AA"
        time.sleep(0.3 * idle)
        assert outcome(connection.send(message(1)))[0] == "AA"


def handled(keeper: Keeper) -> int:
    """The number of accepted messages once it stays the same for a while."""
    seen, same = -1, 0
    while same < 4:
        now = len(keeper.bodies)
        seen, same = now, same + 1 if now == seen else 0
        time.sleep(0.3)
    return seen


def test_a_peer_that_does_not_read_its_acknowledgements_is_paused_and_blocks_nobody() -> None:
    keeper = Keeper(LONG)
    with served(keeper, idle_timeout=10 * IDLE) as listener:  # on a slow machine the writing thread may wait this long
        assert listener.address is not None
        deaf = _slow_reader(listener.address)
        padding = b"NTE|1||" + b"x" * 2_000
        writing = threading.Thread(target=lambda: [deaf.sendall(frame(message(number) + padding)) for number in range(COUNT)])
        writing.start()
        assert 0 < handled(keeper) < COUNT * 4 // 5, "nothing more is taken of it than its acknowledgements have room for"
        with sender(listener) as other:
            assert outcome(other.send(message(COUNT)))[1] == f"MSG{COUNT:05d}"
        assert handled(keeper) < COUNT * 4 // 5
        with sender(listener) as reading:
            reading._socket.close()
            reading._socket = deaf
            assert [outcome(reading.receive())[1] for _ in range(COUNT)] == [f"MSG{number:05d}" for number in range(COUNT)]
        writing.join(WAIT)
        assert not writing.is_alive()


def _slow_reader(address: tuple[str, int]) -> socket.socket:
    """A connection with a small receive buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(6 * WAIT)
    connection.connect(address)
    return connection
