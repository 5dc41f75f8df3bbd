"""One MLLP connection: splits bytes into messages, returns acknowledgements in order, applies back-pressure in both directions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Protocol, cast

from adapters.hl7v2.framing import Deframer

CLOSING = 10.0  # seconds that a peer has to read its last acknowledgements after we close the connection
TOO_SLOW = "the peer did not complete a frame in time (frame_timeout)"


class Owner(Protocol):
    """The listener that a connection reports to. ``opened`` and ``received`` return whether reading continues."""

    def opened(self, connection: Connection) -> bool: ...

    def closed(self, connection: Connection) -> None: ...

    def received(self, connection: Connection, messages: Sequence[bytes]) -> bool: ...

    def broken(self, connection: Connection, reason: str, detail: str, fragment: bytes) -> None: ...


class Connection(asyncio.Protocol):
    """The connection of one peer. ``number`` identifies it in locators, which must not name patients.

    ``idle_timeout`` and ``frame_timeout`` are in seconds; 0 disables them. They limit how long a peer may be silent between messages, and
    how long it may take to complete a frame.
    """

    def __init__(self, owner: Owner, number: int, limit: int, idle_timeout: float, frame_timeout: float = 0.0) -> None:
        self.number = number
        self.ended = asyncio.Event()
        self._owner, self._idle_timeout, self._frame_timeout = owner, idle_timeout, frame_timeout
        self._deframer = Deframer(limit)
        self._transport: asyncio.Transport | None = None
        self._unanswered = 0
        self._ending = False
        self._paused: set[str] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._frame_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._last_activity = 0.0
        self._frame_started: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._owner.opened(self):
            self._transport.abort()
            return
        peer = self._transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # firewalls often leave half-open connections
        self._check_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._idle_timer, self._frame_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        if not self._ending:
            self._report_unfinished()
        self._transport = None
        self._owner.closed(self)
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        self._restart_idle_time()
        messages = self._deframer.feed(data)
        if messages:
            self._unanswered += len(messages)
            if not self._owner.received(self, messages):
                self.pause()
        error = self._deframer.error
        if error is not None:
            self._owner.broken(self, error.reason, error.detail, error.fragment)
            self.close()
        elif self._frame_timeout > 0:
            self._time_frame(begins=bool(messages) or self._frame_started is None)

    def eof_received(self) -> bool:
        """The peer sends no more. It still gets its acknowledgements, except with TLS, where both directions close together."""
        if not self._ending:
            self._report_unfinished()
        self._end_when_answered()
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        self._pause_reading("peer")  # it does not read its acknowledgements, so nothing more is read from it

    def resume_writing(self) -> None:
        self._resume_reading("peer")

    def answer(self, data: bytes) -> None:
        """Sends the acknowledgements of one message; ``data`` is empty if it gets none."""
        self._unanswered -= 1
        if self._transport is not None and data:
            self._transport.write(data)
        self._restart_idle_time()
        if self._ending:
            self._end_when_answered()

    def pause(self) -> None:
        """Stops reading because the queue is full."""
        self._pause_reading("queue")

    def resume(self) -> None:
        self._resume_reading("queue")

    def close(self) -> None:
        """Stops reading, and closes the connection once every received message is answered."""
        self._pause_reading("ending")
        self._end_when_answered()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _end_when_answered(self) -> None:
        self._ending = True
        if self._unanswered <= 0 and self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._close_timer = asyncio.get_running_loop().call_later(CLOSING, self.abort)

    def _report_unfinished(self) -> None:
        if self._deframer.pending:
            self._owner.broken(self, "frame_unfinished", "the connection closed in the middle of a frame", self._deframer.rest)

    def _pause_reading(self, why: str) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._paused.add(why)

    def _resume_reading(self, why: str) -> None:
        if why in self._paused:
            self._paused.discard(why)
            if not self._paused and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
                self._restart_idle_time()
                if self._frame_started is not None:
                    self._frame_started = self._last_activity  # the time during which we did not read does not count against the peer

    def _restart_idle_time(self) -> None:
        """A peer that waits for an answer, or that we do not read from, is not idle: its idle time starts afterwards."""
        self._last_activity = asyncio.get_running_loop().time()

    def _check_idle(self) -> None:
        """Closes the connection of a peer that has been silent for too long."""
        if self._idle_timeout <= 0:
            return
        loop = asyncio.get_running_loop()
        self._last_activity = self._last_activity or loop.time()
        left = self._last_activity + self._idle_timeout - loop.time()
        if left <= 0 and not self._unanswered and not self._paused:
            self.close()
        else:
            self._idle_timer = loop.call_later(max(left, self._idle_timeout / 10), self._check_idle)

    def _time_frame(self, *, begins: bool) -> None:
        """Records when the current frame began. More bytes of the same frame do not extend its time."""
        if not self._deframer.pending:
            self._frame_started = None
            return
        if begins:
            self._frame_started = self._last_activity
        if self._frame_timer is None:
            self._frame_timer = asyncio.get_running_loop().call_later(self._frame_timeout, self._check_frame)

    def _check_frame(self) -> None:
        """Closes the connection of a peer that does not complete a frame in time."""
        self._frame_timer = None
        if self._frame_started is None or self._ending:
            return
        loop = asyncio.get_running_loop()
        left = self._frame_timeout if self._paused else self._frame_started + self._frame_timeout - loop.time()
        if left > 0:
            self._frame_timer = loop.call_later(left, self._check_frame)
        else:
            self._owner.broken(self, "frame_unfinished", TOO_SLOW, self._deframer.rest)
            self.close()
