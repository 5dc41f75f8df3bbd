"""One MLLP connection: bytes to messages, acknowledgements back in order, back-pressure both ways."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Protocol, cast

from adapters.hl7v2.framing import Deframer

CLOSING = 10.0  # seconds that a peer has to take its last acknowledgements when we hang up
TOO_SLOW = "the peer did not complete a frame in time (frame_timeout)"


class Owner(Protocol):
    """Who a connection works for."""

    def opened(self, connection: Connection) -> bool: ...

    def closed(self, connection: Connection) -> None: ...

    def received(self, connection: Connection, messages: Sequence[bytes]) -> bool: ...

    def broken(self, connection: Connection, reason: str, detail: str, fragment: bytes) -> None: ...


class Connection(asyncio.Protocol):
    """``number`` tells connections apart in locators, which must not name the peer's patients.

    ``idle`` and ``unfinished`` are in seconds, 0 for never: how long a peer may be silent between messages, and how long it may take
    to finish a frame that it has begun.
    """

    def __init__(self, owner: Owner, number: int, limit: int, idle: float, unfinished: float = 0.0) -> None:
        self.number = number
        self.ended = asyncio.Event()
        self._owner, self._idle, self._unfinished = owner, idle, unfinished
        self._deframer = Deframer(limit)
        self._transport: asyncio.Transport | None = None
        self._unanswered = 0
        self._ending = False
        self._paused: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._frame_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._begun: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._owner.opened(self):
            self._transport.abort()
            return
        peer = self._transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # half-open connections are common behind firewalls
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._frame_timer, self._closing):
            if timer is not None:
                timer.cancel()
        if not self._ending:
            self._report_unfinished()
        self._transport = None
        self._owner.closed(self)
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        self._listens_from_now()
        messages = self._deframer.feed(data)
        if messages:
            self._unanswered += len(messages)
            if not self._owner.received(self, messages):
                self.pause()
        error = self._deframer.error
        if error is not None:
            self._owner.broken(self, error.reason, error.detail, error.fragment)
            self.close()
        elif self._unfinished > 0:
            self._time_frame(begins=bool(messages) or self._begun is None)

    def eof_received(self) -> bool:
        """The peer has no more to say: it still gets its acknowledgements, except under TLS, which ends both ways at once."""
        if not self._ending:
            self._report_unfinished()
        self._end_when_answered()
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        self._hold("peer")  # it does not read its acknowledgements, so it gets to send no more

    def resume_writing(self) -> None:
        self._release("peer")

    def answer(self, data: bytes) -> None:
        """Sends the acknowledgements of one message; empty when it gets none."""
        self._unanswered -= 1
        if self._transport is not None and data:
            self._transport.write(data)
        self._listens_from_now()
        if self._ending:
            self._end_when_answered()

    def pause(self) -> None:
        """Reads no more for now: the queue is full."""
        self._hold("queue")

    def resume(self) -> None:
        self._release("queue")

    def close(self) -> None:
        """Takes no more, and hangs up when everything that arrived is answered."""
        self._hold("ending")
        self._end_when_answered()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _end_when_answered(self) -> None:
        self._ending = True
        if self._unanswered <= 0 and self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._closing = asyncio.get_running_loop().call_later(CLOSING, self.abort)

    def _report_unfinished(self) -> None:
        if self._deframer.pending:
            self._owner.broken(self, "frame_unfinished", "the connection closed in the middle of a frame", self._deframer.rest)

    def _hold(self, why: str) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._paused.add(why)

    def _release(self, why: str) -> None:
        if why in self._paused:
            self._paused.discard(why)
            if not self._paused and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
                self._listens_from_now()
                if self._begun is not None:
                    self._begun = self._heard  # what it sent while we did not read is not late

    def _listens_from_now(self) -> None:
        """A peer that waits for us, or that we do not read, is not silent: its idle time starts when that ends."""
        self._heard = asyncio.get_running_loop().time()

    def _watch(self) -> None:
        """Hangs up on a peer that has been silent for too long."""
        if self._idle <= 0:
            return
        loop = asyncio.get_running_loop()
        self._heard = self._heard or loop.time()
        left = self._heard + self._idle - loop.time()
        if left <= 0 and not self._unanswered and not self._paused:
            self.close()
        else:
            self._timer = loop.call_later(max(left, self._idle / 10), self._watch)

    def _time_frame(self, *, begins: bool) -> None:
        """Remembers since when a frame is unfinished. However often bytes of it drip in, its time goes on."""
        if not self._deframer.pending:
            self._begun = None
            return
        if begins:
            self._begun = self._heard
        if self._frame_timer is None:
            self._frame_timer = asyncio.get_running_loop().call_later(self._unfinished, self._watch_frame)

    def _watch_frame(self) -> None:
        """Hangs up on a peer that does not finish the frame that it has begun."""
        self._frame_timer = None
        if self._begun is None or self._ending:
            return
        loop = asyncio.get_running_loop()
        left = self._unfinished if self._paused else self._begun + self._unfinished - loop.time()
        if left > 0:
            self._frame_timer = loop.call_later(left, self._watch_frame)
        else:
            self._owner.broken(self, "frame_unfinished", TOO_SLOW, self._deframer.rest)
            self.close()
