"""What failed within the last minutes, so that a failure between two checks of readiness is seen all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

RECENT, TOLD_EVERY = timedelta(minutes=5), timedelta(minutes=1)


class FailureState(Struct, frozen=True):
    """``reason`` is the latest one, in one line that repeats nothing of what was processed.

    ``kind``: ``database`` (it was unavailable, or a write waited long), ``memory`` (there was too little), ``process`` (one ended without
    a clean stop), ``connections`` (some were refused) or ``alerts`` (one could not be delivered).
    """

    kind: str
    since: datetime
    last: datetime
    count: int
    reason: str


class RecentFailures:
    """One kind of failure in this process. Thread-safe. Forgotten :data:`RECENT` after the last one; ``total`` is not."""

    def __init__(self, kind: str, ticks: Callable[[], float] = time.monotonic) -> None:
        self.kind, self.ticks, self.total = kind, ticks, 0
        self._state: FailureState | None = None
        self._last = self._told_at = float("-inf")
        self._told = 0
        self._lock = threading.Lock()

    def add(self, reason: str) -> None:
        """One more."""
        with self._lock:
            before, now = self._recent(), datetime.now(UTC)
            since, count = (before.since, before.count) if before else (now, 0)
            self._state = FailureState(self.kind, since, now, count + 1, reason)
            self.total += 1
            self._last = self.ticks()

    def state(self) -> FailureState | None:
        """All since the first, while they are recent."""
        with self._lock:
            return self._recent()

    def untold(self) -> FailureState | None:
        """The same for a log: where there are some that it was not told of, and not within :data:`TOLD_EVERY` of the last time."""
        with self._lock:
            if self.total == self._told or self.ticks() - self._told_at < TOLD_EVERY.total_seconds():
                return None
            self._told, self._told_at = self.total, self.ticks()
            return self._state

    def _recent(self) -> FailureState | None:
        return self._state if self.ticks() - self._last < RECENT.total_seconds() else None
