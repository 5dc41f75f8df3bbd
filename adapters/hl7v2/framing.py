"""MLLP framing: ``<VT> message <FS> <CR>``. Pure; takes bytes as they arrive from the network.

Source: HL7 "Transport Specification: MLLP, Release 1". In practice the CR is missing or followed by LF (github.com/apache/camel pull
26259), and there are NULs, spaces and line ends between frames (github.com/nextgenhealthcare/connect issue 249); all of that is accepted.
Of a frame beyond the limit only the start is kept. Any other bytes between frames are an error of the connection, because the start of
the next message is then unknown.
"""

from __future__ import annotations

START, END = b"\x0b", b"\x1c"
BETWEEN = b"\r\n\x00 \t\x1c"
DEFAULT_LIMIT = 1024 * 1024
HEAD = 4096  # bytes kept of a frame beyond the limit and of an incomplete frame
_WIDE = (b"M\x00", b"\x00M", b"\xff\xfeM\x00", b"\xfe\xff\x00M", b"\xff\xfe\x00\x00")
"""How UTF-16 and UTF-32 text of a message starts, in which END may be a part of a letter. A byte order mark alone does not tell."""


class FrameError(ValueError):
    """The connection cannot be read further. ``reason`` is a stable code, ``fragment`` is the start of the unread bytes."""

    def __init__(self, reason: str, detail: str, fragment: bytes) -> None:
        self.reason, self.detail, self.fragment = reason, detail, fragment
        super().__init__(detail)


class Oversized(bytes):
    """The start of a frame that was larger than the limit."""


def frame(message: bytes) -> bytes:
    """The message with MLLP framing."""
    return START + message + END + b"\r"


class Deframer:
    """Extracts messages from a stream. After an error, ``error`` is set and no more messages are returned."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.error: FrameError | None = None
        self._limit = limit
        self._buffer = bytearray()
        self._inside = False
        self._searched = 0
        self._head: Oversized | None = None

    @property
    def pending(self) -> bool:
        """Whether a frame has started and not ended."""
        return self._inside

    @property
    def rest(self) -> bytes:
        """The start of the received bytes that are not part of a complete message."""
        return bytes(self._head if self._head is not None else self._buffer[:HEAD])

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that this chunk completes, in order, including those before an error."""
        messages: list[bytes] = []
        if self.error is not None:
            return messages
        self._buffer += chunk
        while self._buffer and self.error is None:
            message = self._take_message() if self._inside else self._skip_to_frame()
            if message is None:
                break
            if message:
                messages.append(message)
        return messages

    def _skip_to_frame(self) -> bytes | None:
        """Skips accepted bytes between frames and the start of the next frame. Returns empty bytes to go on, ``None`` to wait for more."""
        rest = self._buffer.lstrip(BETWEEN)
        if rest and rest[:1] != START:
            self._fail("frame_garbage", "bytes outside a frame")
            return None
        self._buffer = rest[1:]
        self._inside, self._searched = bool(rest), 0
        return b"" if rest else None

    def _take_message(self) -> bytes | None:
        """Takes the message of a complete frame out of the buffer; ``None`` to wait for more bytes."""
        at = self._end_offset()
        if self._head is None and (at if at >= 0 else len(self._buffer)) > self._limit:
            self._head = Oversized(self._buffer[: min(HEAD, self._limit)])
        if at < 0:
            if self._head is not None:
                kept = 2 + len(self._buffer) % 2  # bytes that the next search needs, keeping even offsets even
                del self._buffer[: max(len(self._buffer) - kept, 0)]
            self._searched = max(len(self._buffer) - 1, 0)
            return None
        message = self._head if self._head is not None else bytes(self._buffer[:at])
        if START + b"MSH" in message[1:]:
            self._fail("frame_unfinished", "a frame starts inside another frame")
            return None
        del self._buffer[: at + 1]
        self._inside, self._head = False, None
        return message

    def _end_offset(self) -> int:
        """The offset at which the frame ends, or -1."""
        at = self._buffer.find(END, self._searched)
        if at < 0 or not (self._head if self._head is not None else self._buffer[:4]).startswith(_WIDE):
            return at
        while at >= 0 and not self._is_frame_end(at):
            at = self._buffer.find(END, at + 1)
        return at

    def _is_frame_end(self, at: int) -> bool:
        """Whether an END byte in UTF-16 text ends the frame: it is followed by CR, or is itself a UTF-16 character."""
        if at % 2:
            return self._buffer[at - 1] == 0 and self._buffer[at + 1 : at + 2] == b"\x00"
        return bytes(self._buffer[at + 1 : at + 2]) in (b"\r", b"\x00")

    def _fail(self, reason: str, detail: str) -> None:
        self.error = FrameError(reason, detail, bytes(self._buffer[: min(HEAD, self._limit)]))
        self._buffer.clear()
