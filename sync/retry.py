"""When a failed run is retried (product section 9: skip, retry or stop), from its error. Pure."""

from __future__ import annotations

from adapters.base import AdapterError
from store.db import outage
from sync.config.settings import Backoff

# Errors of the database driver that may pass (connection gone, lock timeout, disk full), by name, since only the store imports that
# library. Its other errors are about the data and would recur.
PASSING = frozenset({"OperationalError", "InterfaceError", "TimeoutError"})
FACTOR = 2.0
SPREAD = 0.2
MOST_DOUBLED = 32  # a larger power would not fit a number


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed later: the fault is in the EMR, the network or the database, not in the data."""
    if isinstance(error, AdapterError):
        return not error.permanent
    return bool(outage.explanation(error)) or any(kind.__name__ in PASSING for kind in type(error).__mro__)


def growing(attempt: int, first: float, longest: float, chance: float) -> float:
    """Seconds to wait after failed attempt number ``attempt`` (from 1): doubled each time, up to the longest, and spread by ``chance``."""
    return min(longest, first * FACTOR ** min(attempt - 1, MOST_DOUBLED)) * (1 + SPREAD * (chance - 0.5))


def wait(error: BaseException, attempt: int, backoff: Backoff, chance: float) -> float | None:
    """Seconds to wait before a retry after failed attempt number ``attempt`` (from 1); ``None`` to give up.

    ``chance`` in 0..1 spreads the waits, so that sources that failed together do not retry together. An EMR's Retry-After is respected;
    one beyond the longest wait ends the run, since the next scheduled run is sooner.
    """
    if not passes(error) or attempt >= backoff.attempts:
        return None
    longest = backoff.longest_wait.total_seconds()
    pause = growing(attempt, backoff.first_wait.total_seconds(), longest, chance)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is None:
        return pause
    return None if retry_after > longest else max(pause, float(retry_after))
