"""Cuts a stream of bytes into messages: single ones, several in a row, FHS/BHS batches, MLLP dumps. Pure.

Source: HL7 v2.9 chapter 2, "HL7 batch protocol". Every byte ends in some piece: headers of a batch go with the message
behind them, trailers and framing with the one before, and what stands before the first MSH is a piece of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MESSAGE = re.compile(rb"(?:(?<=[\r\n\x0b\x1c\x00])|\A)(?:\xef\xbb\xbf)?[ \t]*(?:MSH|FHS|BHS)[^A-Za-z0-9\s]")
LARGEST = 16 * 1024 * 1024  # a piece without any message start is cut here, so that memory stays flat
_LINE = 4096  # the longest batch header looked for
_TAIL = 64  # a beginning may be cut in two by the end of a chunk
_BLANK = b"\x00\x09\x0a\x0b\x0c\x0d\x1c\x20"


def split(body: bytes) -> Iterator[bytes]:
    """The pieces of bytes that are all there."""
    return pieces((body,))


def pieces(chunks: Iterable[bytes], largest: int = LARGEST) -> Iterator[bytes]:
    """The pieces of a stream. A piece is given away as soon as the next one begins."""
    buffer = b""
    searched = 0
    for chunk in chunks:
        buffer += chunk
        starts = _starts(buffer, searched)
        for begin, end in zip((0, *starts), starts, strict=False):
            yield from _piece(buffer[begin:end])
        if starts:
            buffer = buffer[starts[-1] :]
        searched = max(len(buffer) - _TAIL, 1)
        if len(buffer) > largest:
            yield from _piece(buffer)
            buffer, searched = b"", 0
    yield from _piece(buffer)


def _starts(buffer: bytes, searched: int) -> list[int]:
    """Where a new piece begins, without the very beginning. A message right behind batch headers belongs to them."""
    found = [match.start() for match in MESSAGE.finditer(buffer, max(searched - 1, 0)) if match.start() > 0]
    return [at for at in found if not _opens(buffer[max(at - _LINE, 0) : at])]


def _opens(before: bytes) -> bool:
    """Whether the last line is a batch header, or everything before is blank."""
    line = re.split(rb"[\r\n]", before.rstrip(_BLANK))[-1].lstrip(_BLANK)
    return not line or line[:3] in (b"FHS", b"BHS")


def _piece(piece: bytes) -> Iterator[bytes]:
    if piece.strip(_BLANK):
        yield piece
