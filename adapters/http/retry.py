"""Which answers of a server are worth asking again, how long to wait, and the loop that does it: for every HTTP client alike.

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
LONGEST_WAIT = 60.0  # a longer Retry-After (hours at some vendors) ends the run and is left to the schedule

T = TypeVar("T")


class Retryable(Exception):
    """The request may be made again. ``error`` is what the caller hears when it was in vain; its ``retry_after`` is waited for."""

    def __init__(self, error: AdapterError) -> None:
        self.error = error
        super().__init__(str(error))


def told(asked: float | None) -> str:
    """What a Retry-After adds to an error's text."""
    return "" if asked is None else f"; it asked to wait {asked:.0f} s"


def retrying(attempt: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """The attempt, repeated while it says so (:class:`Retryable`) and it is worth it. Raises :class:`~adapters.base.AdapterError`."""
    again = retry_if_exception_type(Retryable)
    repeated = Retrying(retry=again, stop=_gives_up, wait=_wait, sleep=lambda seconds: sleep(float(seconds)), reraise=True)
    try:
        return repeated(attempt)
    except Retryable as failed:
        raise failed.error from None


def pause(attempt: int, asked: float | None, chance: float) -> float | None:
    """Seconds to wait after the given attempt (from 1); ``None`` is: give up. ``chance`` in 0..1 spreads the waits."""
    if attempt >= ATTEMPTS or (asked is not None and asked > LONGEST_WAIT):
        return None
    return max(FIRST_WAIT * 2.0 ** (attempt - 1) * (0.75 + 0.5 * chance), asked or 0.0)


def _asked(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.error.retry_after if isinstance(error, Retryable) else None


def _gives_up(state: RetryCallState) -> bool:
    return pause(state.attempt_number, _asked(state), 0.0) is None


def _wait(state: RetryCallState) -> float:
    return pause(state.attempt_number, _asked(state), random.random()) or 0.0
