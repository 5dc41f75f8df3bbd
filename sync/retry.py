"""When a failed run is tried again. Pure: skip, retry and stop of product rule 9, as a function of the error."""

from __future__ import annotations

from adapters.base import AdapterError
from store.db import outage
from sync.config.settings import Backoff

# The store's driver errors that pass by themselves (connection gone, lock timeout, disk full), by name: the library that
# defines them is the store's own. Its other errors are about the data and would come again.
PASSING = frozenset({"OperationalError", "InterfaceError", "TimeoutError"})
FACTOR = 2.0
SPREAD = 0.2


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed later with the same data: what fails is the EMR, the network or the database itself."""
    if isinstance(error, AdapterError):
        return not error.permanent
    return bool(outage.explanation(error)) or any(kind.__name__ in PASSING for kind in type(error).__mro__)


def wait(error: BaseException, attempt: int, backoff: Backoff, chance: float) -> float | None:
    """Seconds to wait before trying again after the given attempt (from 1) failed; ``None`` is: give up.

    ``chance`` in 0..1 spreads the waits, so that sources that failed together do not come back together. An EMR that names
    a time (Retry-After) is obeyed; one beyond the longest wait ends the run, since the next scheduled one comes sooner.
    """
    if not passes(error) or attempt >= backoff.attempts:
        return None
    longest = backoff.longest_wait.total_seconds()
    pause = min(longest, backoff.first_wait.total_seconds() * FACTOR ** (attempt - 1)) * (1 + SPREAD * (chance - 0.5))
    asked = getattr(error, "retry_after", None)
    if asked is None:
        return pause
    return None if asked > longest else max(pause, float(asked))
