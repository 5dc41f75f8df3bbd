"""The enterprises as they are in force: what the configuration says, or, while the brake holds a change of it, what stood before.

Every process looks once a second, so that an approval counts in all of them; one that still has the former is on the safe side.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from store.configuration.bases import Bases, Standing
from store.database import Database
from store.enterprise import Enterprise

KEPT_FOR = 1.0


class Configurations(Mapping[str, Enterprise]):
    """Name -> enterprise in force. ``configured`` is what the file says. Thread-safe; one per process."""

    def __init__(self, database: Database, configured: Mapping[str, Enterprise], clock: Callable[[], float] = time.monotonic) -> None:
        self.database, self.configured, self.clock = database, configured, clock
        self.bases = Bases(database)
        self._in_force: dict[str, Enterprise] = {}
        self._until = float("-inf")
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Enterprise:
        if self.clock() >= self._until:
            self._look_again()
        return self._in_force[name]

    def __contains__(self, name: object) -> bool:
        return name in self.configured

    def __iter__(self) -> Iterator[str]:
        return iter(self.configured)

    def __len__(self) -> int:
        return len(self.configured)

    def standing(self, name: str) -> Standing:
        """What is in force of an enterprise, and what waits, as the rows say now."""
        with self.database.read() as connection:
            return self.bases.standing(connection, name)

    def look(self) -> None:
        """Reads what is in force now."""
        with self._lock:
            self._read()

    def _look_again(self) -> None:
        """One caller looks; meanwhile the others go by what stood: they may hold the connections that the one that looks waits for."""
        if not self._lock.acquire(blocking=not self._in_force):
            return
        try:
            if self.clock() >= self._until:
                self._read()
        finally:
            self._lock.release()

    def _read(self) -> None:
        with self.database.read() as connection:
            self._in_force = {name: in_force(one, self.bases.standing(connection, name)) for name, one in self.configured.items()}
        self._until = self.clock() + KEPT_FOR


def in_force(configured: Enterprise, standing: Standing) -> Enterprise:
    """An enterprise by what is in force; what the brake holds beside it may refuse, and allow nothing."""
    enterprise = configured if standing.in_force is None else configured.under(standing.in_force)
    return enterprise if standing.held is None else replace(enterprise, waiting=configured.under(standing.held.basis))
