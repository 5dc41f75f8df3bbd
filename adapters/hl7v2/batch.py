"""Cuts a stream of bytes into messages: single ones, several in a row, FHS/BHS batches, MLLP dumps. Pure.

Source: HL7 v2.9 chapter 2, "HL7 batch protocol". Every byte ends in some piece: headers of a batch go with the message
behind them, trailers and framing with the one before, and what stands before the first MSH is a piece of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

HEADERS = (b"MSH", b"FHS", b"BHS")
TRAILERS = (b"BTS", b"FTS")
OPENS = (b"FHS", b"BHS")
_LINES = re.compile(rb"[\r\n]+")
LARGEST = 16 * 1024 * 1024  # a piece without any message start is cut here, so that memory stays flat
_LINE = 4096  # the longest batch header looked for
_TAIL = 64  # a beginning may be cut in two by the end of a chunk
_INDENT = 16
_BLANK = b"\x00\x09\x0a\x0b\x0c\x0d\x1c\x20"
_ENDS = b"\r\n\x0b\x1c\x00"
_BOM = b"\xef\xbb\xbf"


def split(body: bytes) -> Iterator[bytes]:
    """The pieces of bytes that are all there."""
    return pieces((body,))


def pieces(chunks: Iterable[bytes], largest: int = LARGEST) -> Iterator[bytes]:
    """The pieces of a stream. A piece is given away as soon as the next one begins."""
    buffer = b""
    searched = 1
    for chunk in chunks:
        buffer += chunk
        starts = list(_starts(buffer, searched))
        for begin, end in zip((0, *starts), starts, strict=False):
            yield from _piece(buffer[begin:end])
        if starts:
            buffer = buffer[starts[-1] :]
        searched = max(len(buffer) - _TAIL, 1)
        if len(buffer) > largest:
            yield from _piece(buffer)
            buffer, searched = b"", 1
    yield from _piece(buffer)


def _starts(buffer: bytes, searched: int) -> Iterator[int]:
    """Where a new piece begins, without the very beginning. A message right behind batch headers belongs to them."""
    for at in sorted(_headers(buffer, searched)):
        start = _line_start(buffer, at)
        if start and not _opens(buffer[max(start - _LINE, 0) : start]):
            yield start


def _headers(buffer: bytes, searched: int) -> Iterator[int]:
    for name in HEADERS:  # three quick searches beat one clever pattern by far
        at = buffer.find(name, searched)
        while at >= 0:
            behind = buffer[at + 3 : at + 4]
            if behind and not behind.isalnum() and not behind.isspace():
                yield at
            at = buffer.find(name, at + 3)


def _line_start(buffer: bytes, at: int) -> int:
    """Where the line of a header begins, with its indent and byte order mark; 0 when it is in the middle of a line."""
    window = buffer[max(at - _INDENT, 0) : at]
    before = window.rstrip(b" \t").removesuffix(_BOM)
    return at - (len(window) - len(before)) if before and before[-1] in _ENDS else 0


def _opens(before: bytes) -> bool:
    """Whether the last line is a batch header, or everything before is blank."""
    text = before.rstrip(_BLANK)
    line = text[max(text.rfind(b"\r"), text.rfind(b"\n")) + 1 :].lstrip(_BLANK)
    return not line or line[:3] in OPENS


def _piece(piece: bytes) -> Iterator[bytes]:
    if piece.strip(_BLANK):
        yield piece


def counted(found: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, and as pieces of their own: a trailer that counts otherwise than what came, a header without its trailer."""
    count, last = _Count(), b""
    for piece in found:
        yield piece
        yield from count.wrong(piece)
        last = piece
    for header in count.open():
        if last.strip(_BLANK + _BOM) != header:  # then it was said
            yield header


class _Count:
    """Messages of the batch and batches of the file so far, and the headers whose trailers are still to come."""

    def __init__(self) -> None:
        self._messages = self._batches = 0
        self._file = self._batch = b""

    def wrong(self, piece: bytes) -> Iterator[bytes]:
        """What does not fit in this piece and what came before it. A trailer without a number says nothing."""
        if not any(name in piece for name in (*TRAILERS, *OPENS)):  # by far the most
            self._messages += 1
            return
        for line in _LINES.split(piece):
            text = line.strip(_BLANK + _BOM)
            name = text[:3] if text[3:4] and not text[3:4].isalnum() else b""
            if name in OPENS:
                yield from self.open() if name == b"FHS" else self._open_batch()
            elif name == b"FTS":
                yield from self._open_batch()
            counts = self._passed(name, text)
            if counts is not None:
                said = text.split(text[3:4])[1].strip()
                if said.isdigit() and said.lstrip(b"0") not in {str(count).encode().lstrip(b"0") for count in counts}:
                    yield text

    def open(self) -> Iterator[bytes]:
        """The header of the batch that was not closed, else that of the file: what was cut off is told once."""
        if self._file or self._batch:
            yield self._batch or self._file

    def _open_batch(self) -> Iterator[bytes]:
        if self._batch:
            yield self._batch

    def _passed(self, name: bytes, line: bytes) -> tuple[int, ...] | None:
        """What the trailer of that name should say; ``None`` for any other segment."""
        counts = None
        if name == b"FHS":
            self._messages, self._batches, self._file, self._batch = 0, 0, line, b""
        elif name == b"BHS":
            self._messages, self._batch = 0, line
        elif name == b"MSH":
            self._messages += 1
        elif name == b"BTS":
            counts, self._messages, self._batches, self._batch = (self._messages,), 0, self._batches + 1, b""
        elif name == b"FTS":
            open_batch = 1 if self._messages else 0  # a file may hold one batch without its own headers
            counts, self._messages, self._batches = (self._batches + open_batch,), 0, 0
            self._file = self._batch = b""
        return counts
