"""MLLP framing: ``<VT> message <FS> <CR>``. Pure; fed with whatever the network hands over.

Source: HL7 "Transport Specification: MLLP, Release 1". In the field the CR is missing or followed by LF, and NULs, blanks
and line ends stand between frames; all of that is read. Anything else between frames, or a frame beyond the limit, is an
error of the connection: from there on nobody can say where a message begins.
"""

from __future__ import annotations

START, END = b"\x0b", b"\x1c"
BETWEEN = b"\r\n\x00 \t\x1c"
DEFAULT_LIMIT = 1024 * 1024


class FrameError(ValueError):
    """The connection cannot be read any further. ``reason`` is a stable code, ``fragment`` what was left unread."""

    def __init__(self, reason: str, detail: str, fragment: bytes) -> None:
        self.reason, self.detail, self.fragment = reason, detail, fragment
        super().__init__(detail)


def frame(message: bytes) -> bytes:
    """The message as it goes over the wire."""
    return START + message + END + b"\r"


class Deframer:
    """Takes messages out of a stream. After an error, ``error`` is set and nothing more is given out."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.error: FrameError | None = None
        self._limit = limit
        self._buffer = bytearray()
        self._inside = False
        self._searched = 0

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._inside

    @property
    def rest(self) -> bytes:
        """What has arrived and belongs to no message yet."""
        return bytes(self._buffer)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that this chunk completes, in order. Those before an error are given out, too."""
        messages: list[bytes] = []
        if self.error is not None:
            return messages
        self._buffer += chunk
        while self._buffer and self.error is None:
            message = self._end() if self._inside else self._begin()
            if message is None:
                break
            if message:
                messages.append(message)
        return messages

    def _begin(self) -> bytes | None:
        """Skips what may stand between frames and the start of the next; empty to go on, ``None`` to wait for more."""
        rest = self._buffer.lstrip(BETWEEN)
        if rest and rest[:1] != START:
            self._fail("frame_garbage", "there are bytes outside of a frame")
            return None
        self._buffer = rest[1:]
        self._inside, self._searched = bool(rest), 0
        return b"" if rest else None

    def _end(self) -> bytes | None:
        at = self._buffer.find(END, self._searched)
        if (at if at >= 0 else len(self._buffer)) > self._limit:
            self._fail("frame_too_large", f"the frame is larger than {self._limit} bytes (max_message_bytes)")
            return None
        if at < 0:
            self._searched = len(self._buffer)
            return None
        message = bytes(self._buffer[:at])
        if START + b"MSH" in message[1:]:
            self._fail("frame_unfinished", "a frame begins inside of another one")
            return None
        del self._buffer[: at + 1]
        self._inside = False
        return message

    def _fail(self, reason: str, detail: str) -> None:
        self.error = FrameError(reason, detail, bytes(self._buffer[: self._limit]))
        self._buffer.clear()
