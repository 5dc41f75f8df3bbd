"""Simulates disorder in a stream of messages: duplicates, wrong order, a character set other than that in MSH-18. Pure.

Seen in the field: duplicates after an ACK timeout (github.com/nextgenhealthcare/connect issue 1314), Latin-1 without a matching MSH-18
(github.com/panates/hl7v2 pull 28).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice


def duplicated(messages: Iterable[bytes], every: int) -> Iterator[bytes]:
    """Repeats each ``every``-th message at once, as after a lost acknowledgement."""
    for number, message in enumerate(messages, 1):
        yield message
        if number % every == 0:
            yield message


def reordered(messages: Iterable[bytes], window: int) -> Iterator[bytes]:
    """Reverses the order within every ``window`` messages, so that later statements arrive before earlier ones."""
    stream = iter(messages)
    while group := list(islice(stream, window)):
        yield from reversed(group)


def miswritten(messages: Iterable[bytes], every: int) -> Iterator[bytes]:
    """Encodes each ``every``-th message in ISO 8859-1 with a non-ASCII letter, while its MSH-18 still says UTF-8."""
    for number, message in enumerate(messages, 1):
        yield _latin(message) if number % every == 0 else message


def _latin(message: bytes) -> bytes:
    segments = message.split(b"\r")
    return b"\r".join(_renamed(segment) if segment.startswith(b"PID|") else segment for segment in segments)


def _renamed(segment: bytes) -> bytes:
    fields = segment.split(b"|")
    fields[5] = "Gr\N{LATIN SMALL LETTER E WITH ACUTE}".encode("iso-8859-1") + fields[5]
    return b"|".join(fields)
