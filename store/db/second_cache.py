"""What the database said within the last second, for what is asked all the time and hardly changes."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

KEPT_SECONDS = 1.0
LONGEST_SECONDS = 10.0
"""A previous value older than this is not answered, however long somebody has been reading a new one."""
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SecondCache(Generic[Key, Value]):
    """``read`` gives the value of a key now. Thread-safe.

    While one caller reads, the others get the previous value: they may hold the connections that it waits for.
    """

    def __init__(self, read: Callable[[Key], Value], ticks: Callable[[], float] = time.monotonic) -> None:
        self.read, self.ticks = read, ticks
        self._kept: dict[Key, tuple[Value, float]] = {}
        self._reading: set[Key] = set()
        self._changes = 0
        self._lock = threading.Lock()

    def get(self, key: Key, at: float | None = None) -> Value:
        """The value of a second ago at most. ``at`` (seconds) is for callers with a clock of their own."""
        kept = self._kept.get(key)
        age = (self.ticks() if at is None else at) - kept[1] if kept is not None else -1
        if kept is None or not 0 <= age < LONGEST_SECONDS:
            return self._renew(key, at)
        if age < KEPT_SECONDS or not self._begins(key):
            return kept[0]
        try:
            return self._renew(key, at)
        finally:
            self._reading.discard(key)

    def changed(self) -> None:
        """Something was changed through this process: it counts at once."""
        with self._lock:
            self._changes += 1
            self._kept.clear()

    def look(self, key: Key) -> Value:
        """The value as it is now, for everybody from now on."""
        with self._lock:
            self._changes += 1
        return self._renew(key)

    def _begins(self, key: Key) -> bool:
        with self._lock:
            begins = key not in self._reading
            self._reading.add(key)
        return begins

    def _renew(self, key: Key, at: float | None = None) -> Value:
        seen, found = self._changes, self.read(key)
        with self._lock:
            if seen == self._changes:  # else it was read before a change and must not outlive it
                self._kept[key] = found, self.ticks() if at is None else at
        return found


class SecondMapping(Mapping[str, Value]):
    """Name -> a value, all read together. Thread-safe. A subclass knows the names."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._kept: SecondCache[None, Mapping[str, Value]] = SecondCache(lambda _: self._read(), ticks)

    def __getitem__(self, name: str) -> Value:
        return self._kept.get(None)[name]

    def refresh(self) -> None:
        """Reads the values from the database now."""
        self._kept.look(None)

    @abstractmethod
    def _read(self) -> Mapping[str, Value]:
        """The values in the database."""
