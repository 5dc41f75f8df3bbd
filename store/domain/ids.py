"""Opaque ids. A patient's is a number that grows with time (good for indexes), shown as ``pt_`` and 16 hexadecimal digits."""

from __future__ import annotations

import secrets
import string
import threading
import time

PREFIX = "pt_"
DECISION = "dec_"
EPOCH_MS = 1_700_000_000_000
RANDOM_BITS = 22
MASK = 2**64 - 1


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
    return f"{PREFIX}{number:016x}"


def parsed(text: str) -> int | None:
    """The number of a shown id, or ``None`` when the text is none."""
    digits = text.removeprefix(PREFIX)
    if not text.startswith(PREFIX) or len(digits) != 16 or any(digit not in string.hexdigits for digit in digits):
        return None
    number = int(digits, 16)
    return number if number < 2**63 else None


def token(prefix: str) -> str:
    """A new opaque id that sorts by time, for runs, rejections and keys."""
    return f"{prefix}_{time.time_ns() // 1_000_000:011x}{secrets.token_hex(5)}"


def decision_ids(count: int) -> list[str]:
    """New opaque ids for decisions that are made together. They sort by time; 64 random bits keep those of all processes apart."""
    stem, first = f"{DECISION}{time.time_ns() // 1_000_000:011x}", secrets.randbits(64)
    return [f"{stem}{first + number & MASK:016x}" for number in range(count)]


def is_decision_id(text: str) -> bool:
    """Whether the text has the form of a decision's id."""
    digits = text.removeprefix(DECISION)
    return text.startswith(DECISION) and len(digits) == 27 and all(digit in string.hexdigits for digit in digits)
