"""Sends HL7 v2 messages over MLLP like an EMR's interface engine: keeps unacknowledged messages and sends them again.

It has its own framing and ACK parsing, so that it tests the listener with independent code.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ssl import SSLContext

START, END = b"\x0b", b"\x1c\r"
LONGEST_ACK = 1024 * 1024
CLOSE_WITHIN, PAUSE = 2.0, 0.2  # seconds
ACCEPTED, FAILED, REFUSED = ("AA", "CA"), ("AE", "CE"), ("AR", "CR")

OnAck = Callable[[str, str], None]


@dataclass(slots=True)
class Report:
    """The result of a stream of messages. Each is accepted, failed (AE: its content) or given up (no final answer)."""

    accepted: int = 0
    failed: int = 0
    given_up: int = 0
    resent: int = 0
    reconnected: int = 0
    lost: int = 0
    acknowledgements: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        return self.accepted + self.failed + self.given_up

    @property
    def rate(self) -> float:
        """Messages with a final result, per second."""
        return self.sent / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class MllpSender:
    """Sends messages over MLLP. ``send`` blocks until every message is answered or given up.

    A message is sent again if it is refused (AR), not answered in ``timeout`` seconds, or the connection breaks: up to ``attempts`` times,
    with ``pause`` seconds in between. ``on_ack`` receives the control ID and code of every accepted acknowledgement. Every
    ``lose_every``-th acknowledgement is lost: the connection breaks, and the message is sent again.
    """

    host: str
    port: int
    connections: int = 1
    timeout: float = 30.0
    attempts: int = 5
    pause: float = PAUSE
    on_ack: OnAck | None = None
    lose_every: int = 0
    tls: SSLContext | None = None

    def send(self, messages: Iterable[bytes]) -> Report:
        """Sends ``messages`` as a stream, with at most one per connection in memory."""
        return asyncio.run(self._send(iter(messages)))

    async def _send(self, messages: Iterator[bytes]) -> Report:
        report = Report()
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.connections):
                group.create_task(_SenderConnection(self, report).run(messages))
        report.seconds = time.perf_counter() - started
        return report


class _SenderConnection:
    """One connection. It sends one message at a time, the next one only after a final result."""

    def __init__(self, sender: MllpSender, report: Report) -> None:
        self._sender, self._report = sender, report
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def run(self, messages: Iterator[bytes]) -> None:
        try:
            for message in messages:
                await self._settle(message)
        finally:
            await self._disconnect()

    async def _settle(self, message: bytes) -> None:
        control = control_id(message)
        for attempt in range(self._sender.attempts):
            if attempt:
                self._report.resent += 1
                await asyncio.sleep(self._sender.pause)
            code = await self._attempt(message, control)
            if code in ACCEPTED:
                self._report.accepted += 1
                return
            if code in FAILED:
                self._report.failed += 1
                return
        self._report.given_up += 1

    async def _attempt(self, message: bytes, control: str) -> str | None:
        """The acknowledgement code, or ``None`` if there was none."""
        try:
            code = await asyncio.wait_for(self._exchange(message, control), self._sender.timeout)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._disconnect()
            return None
        if self._is_lost():
            await self._disconnect()
            return None
        self._report.codes[code] += 1
        if self._sender.on_ack is not None:
            self._sender.on_ack(control, code)
        return code

    def _is_lost(self) -> bool:
        if not self._sender.lose_every:
            return False
        self._report.acknowledgements += 1
        lost = self._report.acknowledgements % self._sender.lose_every == 0
        self._report.lost += lost
        return lost

    async def _exchange(self, message: bytes, control: str) -> str:
        if self._writer is None:
            sender = self._sender
            self._reader, self._writer = await asyncio.open_connection(sender.host, sender.port, limit=LONGEST_ACK, ssl=sender.tls)
            self._report.reconnected += 1
        assert self._reader is not None
        self._writer.write(START + message + END)
        while True:
            frame = await self._reader.readuntil(END)
            code, answered = acknowledgement(frame[:-2].lstrip(START))
            # A late ACK of an earlier message must not answer this one (github.com/nextgenhealthcare/connect issues 2070 and 2071).
            if answered == control:
                return code

    async def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError, TimeoutError):  # TLS waits for the peer's close_notify, which a lost peer does not send
                await asyncio.wait_for(self._writer.wait_closed(), CLOSE_WITHIN)
            self._reader = self._writer = None


def control_id(message: bytes) -> str:
    """MSH-10; empty if the message has none."""
    fields = message.split(b"\r", 1)[0].split(message[3:4], 10)
    return fields[9].decode("ascii", "replace") if len(fields) > 9 else ""


def acknowledgement(message: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2; both empty if there is no MSA segment."""
    separator = message[3:4]
    for segment in message.split(b"\r"):
        if segment.startswith(b"MSA" + separator):
            fields = segment.split(separator)
            return fields[1].decode("ascii", "replace"), fields[2].decode("ascii", "replace") if len(fields) > 2 else ""
    return "", ""
