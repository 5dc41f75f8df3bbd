"""MLLP framing: ``<VT> message <FS> <CR>``. Pure; fed with whatever the network hands over.

Source: HL7 "Transport Specification: MLLP, Release 1". In the field the CR is missing or followed by LF, and NULs, blanks
and line ends stand between frames; all of that is read. A frame beyond the limit is swallowed: only its head is given out. Anything
else between frames is an error of the connection: from there on nobody can say where a message begins.
"""

from __future__ import annotations

START, END = b"\x0b", b"\x1c"
BETWEEN = b"\r\n\x00 \t\x1c"
DEFAULT_LIMIT = 1024 * 1024
HEAD = 4096  # what is kept of a frame beyond the limit, and of what is no whole frame
_WIDE = (b"M\x00", b"\x00M", b"\xff\xfe", b"\xfe\xff")  # text in two bytes a letter, in which END may be half a letter


class FrameError(ValueError):
    """The connection cannot be read any further. ``reason`` is a stable code, ``fragment`` the beginning of what was left unread."""

    def __init__(self, reason: str, detail: str, fragment: bytes) -> None:
        self.reason, self.detail, self.fragment = reason, detail, fragment
        super().__init__(detail)


class Oversized(bytes):
    """The head of a frame that was larger than the limit."""


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
        self._head: Oversized | None = None

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._inside

    @property
    def rest(self) -> bytes:
        """The beginning of what has arrived and belongs to no message yet."""
        return bytes(self._head if self._head is not None else self._buffer[:HEAD])

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
            self._fail("frame_garbage", "bytes outside a frame")
            return None
        self._buffer = rest[1:]
        self._inside, self._searched = bool(rest), 0
        return b"" if rest else None

    def _end(self) -> bytes | None:
        at = self._found()
        if self._head is None and (at if at >= 0 else len(self._buffer)) > self._limit:
            self._head = Oversized(self._buffer[: min(HEAD, self._limit)])
        if at < 0:
            if self._head is not None:
                kept = 2 + len(self._buffer) % 2  # what the search looks back at, and whether a letter begins at an even place
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

    def _found(self) -> int:
        """Where the frame ends, or -1."""
        at = self._buffer.find(END, self._searched)
        if at < 0 or not (self._head if self._head is not None else self._buffer[:2]).startswith(_WIDE):
            return at
        while at >= 0 and not self._is_whole(at):
            at = self._buffer.find(END, at + 1)
        return at

    def _is_whole(self, at: int) -> bool:
        """Whether the END in wide text is one: at a whole letter with CR behind it, or itself in two bytes."""
        if at % 2:
            return self._buffer[at - 1] == 0 and self._buffer[at + 1 : at + 2] == b"\x00"
        return bytes(self._buffer[at + 1 : at + 2]) in (b"\r", b"\x00")

    def _fail(self, reason: str, detail: str) -> None:
        self.error = FrameError(reason, detail, bytes(self._buffer[: min(HEAD, self._limit)]))
        self._buffer.clear()
