"""Opaque ids. A patient's is a number that grows with time (good for indexes), shown as ``pt_`` and 13 letters."""

from __future__ import annotations

import secrets
import threading
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
PREFIX = "pt_"
EPOCH_MS = 1_700_000_000_000
RANDOM_BITS = 22


class PatientIds:
    """Hands out numbers below 2**63: milliseconds, then random bits, never the same or a smaller one twice in a process."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """A new number."""
        fresh = (time.time_ns() // 1_000_000 - EPOCH_MS << RANDOM_BITS) | secrets.randbits(RANDOM_BITS)
        with self._lock:
            self._last = fresh if fresh > self._last else self._last + 1 + secrets.randbits(4)
            return self._last


def shown(number: int) -> str:
    """The number as people and callers see it."""
    letters = ""
    for _ in range(13):
        number, rest = divmod(number, 32)
        letters = ALPHABET[rest] + letters
    return PREFIX + letters


def parsed(text: str) -> int | None:
    """The number of a shown id, or ``None`` when the text is none."""
    letters = text.removeprefix(PREFIX).lower()
    if not text.startswith(PREFIX) or len(letters) != 13 or any(letter not in ALPHABET for letter in letters):
        return None
    number = 0
    for letter in letters:
        number = number * 32 + ALPHABET.index(letter)
    return number if number < 2**63 else None


def token(prefix: str) -> str:
    """A new opaque id that sorts by time, for runs, rejections and keys."""
    return f"{prefix}_{time.time_ns() // 1_000_000:011x}{secrets.token_hex(5)}"
