"""Retries: which responses are worth a retry, how long to wait, and the loop. Every HTTP client uses it.

Source: SMART Backend Services practice (408, 429, 500, 502, 503, 504).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from adapters.base import AdapterError

TRANSIENT = (408, 429, 500, 502, 503, 504)
ATTEMPTS = 4
FIRST_WAIT = 1.0  # seconds; doubled with each attempt
LONGEST_WAIT = 60.0  # a longer Retry-After (hours at some vendors) ends the run; the schedule tries again

T = TypeVar("T")


class Retryable(Exception):
    """The request may be retried. ``error``: raised if all retries fail; its ``retry_after`` is waited for."""

    def __init__(self, error: AdapterError) -> None:
        self.error = error
        super().__init__(str(error))


def retry_after_note(retry_after: float | None) -> str:
    """What a Retry-After adds to an error message."""
    return "" if retry_after is None else f"; it asked to wait {retry_after:.0f} s"


def retrying(attempt: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """The result of the attempt, repeated while it raises :class:`Retryable`. Raises :class:`~adapters.base.AdapterError`."""
    again = retry_if_exception_type(Retryable)
    repeated = Retrying(retry=again, stop=_gives_up, wait=_wait, sleep=lambda seconds: sleep(float(seconds)), reraise=True)
    try:
        return repeated(attempt)
    except Retryable as failed:
        raise failed.error from None


def pause(attempt: int, retry_after: float | None, chance: float) -> float | None:
    """Seconds to wait after the given attempt (from 1); ``None``: give up. ``chance`` (0..1) spreads the waits."""
    if attempt >= ATTEMPTS or (retry_after is not None and retry_after > LONGEST_WAIT):
        return None
    return max(FIRST_WAIT * 2.0 ** (attempt - 1) * (0.75 + 0.5 * chance), retry_after or 0.0)


def _retry_after(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.error.retry_after if isinstance(error, Retryable) else None


def _gives_up(state: RetryCallState) -> bool:
    return pause(state.attempt_number, _retry_after(state), 0.0) is None


def _wait(state: RetryCallState) -> float:
    return pause(state.attempt_number, _retry_after(state), random.random()) or 0.0
