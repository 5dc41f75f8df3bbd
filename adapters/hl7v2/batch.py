"""Splits a stream of bytes into messages: single messages, concatenated ones, FHS/BHS batches, MLLP dumps. Pure.

Source: HL7 v2.9 chapter 2, "HL7 batch protocol". Every byte is part of a piece. Batch headers belong to the message after them,
trailers and framing to the message before them. Text before the first MSH is a separate piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

HEADERS = (b"MSH", b"FHS", b"BHS")
TRAILERS = (b"BTS", b"FTS")
OPENS = (b"FHS", b"BHS")
_LINES = re.compile(rb"[\r\n]+")
LARGEST = 16 * 1024 * 1024  # a piece without a message start is cut at this size, to limit memory
_LINE = 4096  # the longest batch header that is searched
_TAIL = 64  # a message start may be split by the end of a chunk
_INDENT = 16
_BLANK = b"\x00\x09\x0a\x0b\x0c\x0d\x1c\x20"
_ENDS = b"\r\n\x0b\x1c\x00"
_BOM = b"\xef\xbb\xbf"


def split(body: bytes) -> Iterator[bytes]:
    """The pieces of a complete byte string."""
    return pieces((body,))


def pieces(chunks: Iterable[bytes], largest: int = LARGEST) -> Iterator[bytes]:
    """The pieces of a stream. A piece is yielded as soon as the next one begins."""
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
    """The offsets at which a new piece begins, except 0. A message directly after batch headers does not begin a new piece."""
    for at in sorted(_headers(buffer, searched)):
        start = _line_start(buffer, at)
        if start and not _opens(buffer[max(start - _LINE, 0) : start]):
            yield start


def _headers(buffer: bytes, searched: int) -> Iterator[int]:
    for name in HEADERS:  # three searches are much faster than one regular expression
        at = buffer.find(name, searched)
        while at >= 0:
            separator = buffer[at + 3 : at + 4]
            if separator and not separator.isalnum() and not separator.isspace():
                yield at
            at = buffer.find(name, at + 3)


def _line_start(buffer: bytes, at: int) -> int:
    """The offset of the line of a header, including its indent and byte order mark; 0 if the header is inside a line."""
    window = buffer[max(at - _INDENT, 0) : at]
    before = window.rstrip(b" \t").removesuffix(_BOM)
    return at - (len(window) - len(before)) if before and before[-1] in _ENDS else 0


def _opens(before: bytes) -> bool:
    """Whether the last line is a batch header, or everything is blank."""
    text = before.rstrip(_BLANK)
    line = text[max(text.rfind(b"\r"), text.rfind(b"\n")) + 1 :].lstrip(_BLANK)
    return not line or line[:3] in OPENS


def _piece(piece: bytes) -> Iterator[bytes]:
    if piece.strip(_BLANK):
        yield piece


def counted(found: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, plus as separate pieces: each trailer with a wrong count, and each header without a trailer."""
    count, last = _BatchCount(), b""
    for piece in found:
        yield piece
        yield from count.mismatches(piece)
        last = piece
    for header in count.unclosed():
        if last.strip(_BLANK + _BOM) != header:  # otherwise it was already yielded
            yield header


class _BatchCount:
    """Counts the messages of the batch and the batches of the file, and keeps the headers that still need a trailer."""

    def __init__(self) -> None:
        self._messages = self._batches = 0
        self._file = self._batch = b""

    def mismatches(self, piece: bytes) -> Iterator[bytes]:
        """Counts a piece and yields its trailers with a wrong count and headers without a trailer. A trailer may have no count."""
        if not any(name in piece for name in (*TRAILERS, *OPENS)):  # the usual case
            self._messages += 1
            return
        for line in _LINES.split(piece):
            text = line.strip(_BLANK + _BOM)
            name = text[:3] if text[3:4] and not text[3:4].isalnum() else b""
            if name in OPENS:
                yield from self.unclosed() if name == b"FHS" else self._open_batch()
            elif name == b"FTS":
                yield from self._open_batch()
            counts = self._expected_counts(name, text)
            if counts is not None:
                stated = text.split(text[3:4])[1].strip()
                if stated.isdigit() and stated.lstrip(b"0") not in {str(count).encode().lstrip(b"0") for count in counts}:
                    yield text

    def unclosed(self) -> Iterator[bytes]:
        """The header of the batch without a trailer, otherwise that of the file: truncation is reported once."""
        if self._file or self._batch:
            yield self._batch or self._file

    def _open_batch(self) -> Iterator[bytes]:
        if self._batch:
            yield self._batch

    def _expected_counts(self, name: bytes, line: bytes) -> tuple[int, ...] | None:
        """Updates the counts. Returns the correct counts for a trailer, ``None`` for any other segment."""
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
            open_batch = 1 if self._messages else 0  # a file may contain one batch without batch headers
            counts, self._messages, self._batches = (self._batches + open_batch,), 0, 0
            self._file = self._batch = b""
        return counts
