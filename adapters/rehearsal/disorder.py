"""What interface engines do to a stream of messages: repeated, out of order, in another character set than MSH-18 says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice


def duplicated(messages: Iterable[bytes], every: int) -> Iterator[bytes]:
    """Each ``every``-th message comes again at once, as after an acknowledgement that was lost."""
    for number, message in enumerate(messages, 1):
        yield message
        if number % every == 0:
            yield message


def reordered(messages: Iterable[bytes], window: int) -> Iterator[bytes]:
    """Every ``window`` messages come in the opposite order: the later word overtakes the earlier one."""
    stream = iter(messages)
    while group := list(islice(stream, window)):
        yield from reversed(group)


def miswritten(messages: Iterable[bytes], every: int) -> Iterator[bytes]:
    """Each ``every``-th message is ISO 8859-1 with a letter that shows it, while its MSH-18 still says UTF-8."""
    for number, message in enumerate(messages, 1):
        yield _latin(message) if number % every == 0 else message


def _latin(message: bytes) -> bytes:
    segments = message.split(b"\r")
    return b"\r".join(_renamed(segment) if segment.startswith(b"PID|") else segment for segment in segments)


def _renamed(segment: bytes) -> bytes:
    fields = segment.split(b"|")
    fields[5] = "Gr\N{LATIN SMALL LETTER E WITH ACUTE}".encode("iso-8859-1") + fields[5]
    return b"|".join(fields)
