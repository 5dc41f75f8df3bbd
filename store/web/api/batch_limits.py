"""Limits of batches: the size, which is checked before the body is decoded, and the number of batches in progress per key. Pure."""

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
"""A request has at most 20 commas outside its texts. Each value except the first follows a comma or an opening bracket. So counting commas
limits the number of values without decoding the body."""
AT_ONCE = 4
AGAIN_SECONDS = 2
TOO_MANY = f"an array can hold up to {MOST_IN_ARRAY} requests: send {NDJSON} for more"
TOO_LONG = f"an array can have up to {MOST_BYTES} bytes: send {NDJSON} for more"
decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode


def check_length(size: int) -> None:
    """Raises :class:`ProblemDetails` 413 for a body with more bytes than an array may have."""
    if size > MOST_BYTES:
        raise ProblemDetails(413, "batch_too_large", TOO_LONG)


def check_commas(commas: int) -> None:
    """Raises :class:`ProblemDetails` 413 for more commas than any array may have, also before the whole body has arrived."""
    if commas > MOST_COMMAS:
        raise ProblemDetails(413, "batch_too_large", TOO_MANY)


def check_count(body: bytes) -> None:
    """Raises :class:`ProblemDetails` 413 for an array with too many items. Anything else is accepted here and fails when it is decoded."""
    commas = body.count(b",")
    check_commas(commas)
    if commas >= MOST_IN_ARRAY and _items(body) > MOST_IN_ARRAY:  # with fewer commas there cannot be too many items
        raise ProblemDetails(413, "batch_too_large", TOO_MANY)


def _items(body: bytes) -> int:
    try:
        return len(decode_raw(body))  # finds the end of each item without decoding it
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


class BatchSlots:
    """The number of batches in progress per key. For one event loop."""

    def __init__(self) -> None:
        self._in_progress: Counter[str] = Counter()

    def begin(self, key: str) -> None:
        """Starts a batch. Raises :class:`ProblemDetails` 429 if the key has :data:`AT_ONCE` in progress."""
        if self._in_progress[key] >= AT_ONCE:
            detail = f"this key already has {AT_ONCE} batches in progress: wait for one to finish"
            raise ProblemDetails(429, "too_many_batches", detail, {"Retry-After": str(AGAIN_SECONDS)})
        self._in_progress[key] += 1

    def end(self, key: str) -> None:
        """Ends a batch."""
        self._in_progress[key] -= 1
        if not self._in_progress[key]:
            del self._in_progress[key]

    @contextmanager
    def slot(self, key: str) -> Iterator[None]:
        """Counts the block as a batch in progress."""
        self.begin(key)
        try:
            yield
        finally:
            self.end(key)
