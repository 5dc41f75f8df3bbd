"""What a batch may take: its size, told before anything is built of its body, and how many a key may have at a time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from store.web.http.problem import ProblemDetails

NDJSON = "application/x-ndjson"
MOST_IN_ARRAY = 10_000
MOST_BYTES = 32 * 1024 * 1024
MOST_COMMAS = MOST_IN_ARRAY * 32
"""An ask has 20 commas at most, besides those in its texts. Each value but the first follows a comma or opens something: this bounds the
values of a body by its bytes alone."""
AT_ONCE = 4
AGAIN_SECONDS = 2
TOO_MANY = f"an array can hold up to {MOST_IN_ARRAY} requests: send {NDJSON} for more"
TOO_LONG = f"an array can have up to {MOST_BYTES} bytes: send {NDJSON} for more"
decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode


def check_length(size: int) -> None:
    """Raises :class:`ProblemDetails` 413 for a body of more bytes than an array may have."""
    if size > MOST_BYTES:
        raise ProblemDetails(413, "batch_too_large", TOO_LONG)


def check_commas(commas: int) -> None:
    """Raises :class:`ProblemDetails` 413 for more commas than any array may have. For a body that is still to come in part, too."""
    if commas > MOST_COMMAS:
        raise ProblemDetails(413, "batch_too_large", TOO_MANY)


def check_count(body: bytes) -> None:
    """Raises :class:`ProblemDetails` 413 for an array of too many items. What is no array of items is let by: reading it says so."""
    commas = body.count(b",")
    check_commas(commas)
    if commas >= MOST_IN_ARRAY and _items(body) > MOST_IN_ARRAY:  # fewer are too few for too many items
        raise ProblemDetails(413, "batch_too_large", TOO_MANY)


def _items(body: bytes) -> int:
    try:
        return len(decode_raw(body))  # finds where each item ends, and reads none
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


class Turns:
    """How many batches each key has under way. For one event loop."""

    def __init__(self) -> None:
        self._here: Counter[str] = Counter()

    def begin(self, key: str) -> None:
        """One more. Raises :class:`ProblemDetails` 429 where the key has :data:`AT_ONCE` under way."""
        if self._here[key] >= AT_ONCE:
            detail = f"this key already has {AT_ONCE} batches in progress: wait for one to finish"
            raise ProblemDetails(429, "too_many_batches", detail, {"Retry-After": str(AGAIN_SECONDS)})
        self._here[key] += 1

    def end(self, key: str) -> None:
        """One of them is done."""
        self._here[key] -= 1
        if not self._here[key]:
            del self._here[key]

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """One batch, inside the block."""
        self.begin(key)
        try:
            yield
        finally:
            self.end(key)
