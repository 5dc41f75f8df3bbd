"""The policy of each enterprise, read from the database at most once a second: decisions ask for it all the time, and it hardly changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from store.domain.policies import Policy
from store.patients.settings import EnterpriseSettings

KEPT_SECONDS = 1.0


class Policies:
    """Policies in force. A change made here counts at once, one made by another process within a second."""

    def __init__(self, settings: Callable[[str], EnterpriseSettings], clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._kept: dict[str, tuple[Policy, float]] = {}
        self._changes = 0
        self._lock = threading.Lock()

    def get(self, enterprise: str) -> Policy:
        """The policy of the enterprise."""
        kept = self._kept.get(enterprise)
        if kept is not None and self._clock() < kept[1]:
            return kept[0]
        seen, until = self._changes, self._clock() + KEPT_SECONDS
        policy = self._settings(enterprise).policy
        with self._lock:
            if seen == self._changes:  # else it was read before a change and must not outlive it
                self._kept[enterprise] = policy, until
        return policy

    def changed(self) -> None:
        """Settings were changed through this process."""
        with self._lock:
            self._changes += 1
            self._kept.clear()
