"""Counts the unknown patients that each API key asks about. This reveals guessed identifiers, and a sender with wrong ones.

Counts are by key, within a sliding window. The first API process of a service adds those of the others. Nothing is refused because of
them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct

from store.users.api_keys import ApiKey
from store.users.unknown_alarm import Alarm

PARTS = 10
"""Parts of the window, which slides by one part at a time."""


class UnknownPatients(Struct, frozen=True):
    """A key that asks about too many unknown patients, as in readiness: since when, and the counts in the window."""

    enterprise: str
    key: str
    since: datetime
    asked: int
    unknown: int


@dataclass(slots=True)
class _Key:
    """The counts of one key, in total and per part of the window, and since when the alarm rings."""

    enterprise: str
    id: str
    asked: int = 0
    unknown: int = 0
    parts: deque[tuple[int, int, int]] = field(default_factory=deque)
    since: datetime | None = None
    notified: datetime | None = None


def no_notification(found: UnknownPatients) -> None:
    """Does nothing, where there is no log."""


class LookUps:
    """Counts look-ups by key. Thread-safe. ``notify`` is called when a key's alarm starts to ring, then once per window while it rings."""

    def __init__(self, alarm: Alarm, clock: Callable[[], datetime], notify: Callable[[UnknownPatients], None] = no_notification) -> None:
        self.alarm, self.clock, self.notify = alarm, clock, notify
        self._keys: dict[str, _Key] = {}
        self._lock = threading.Lock()

    def count(self, key: ApiKey, asked: int, unknown: int) -> None:
        """Counts patients that a key asked about, and how many of them are unknown."""
        self.add(key.enterprise, key.id, asked, unknown)

    def add(self, enterprise: str, key: str, asked: int, unknown: int) -> None:
        """The same for the id of a key."""
        if not asked:
            return
        with self._lock:
            one = self._keys.setdefault(key, _Key(enterprise, key))
            one.asked, one.unknown = one.asked + asked, one.unknown + unknown
            self._add(one, asked, unknown)
            found = self._ringing(one, self.clock()) if unknown else None
        if found is not None and self._is_notification_due(one):
            self.notify(found)

    def totals(self) -> Mapping[str, tuple[int, int]]:
        """By key: the number of patients asked about, and of unknown ones among them, since the process started."""
        with self._lock:
            return {key: (one.asked, one.unknown) for key, one in self._keys.items()}

    def totals_by_enterprise(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """The same by (enterprise, key)."""
        with self._lock:
            return {(one.enterprise, key): (one.asked, one.unknown) for key, one in self._keys.items()}

    def ringing(self) -> tuple[UnknownPatients, ...]:
        """The keys that currently ask about too many."""
        with self._lock:
            now = self.clock()
            return tuple(found for one in self._keys.values() if (found := self._ringing(one, now)))

    def _add(self, one: _Key, asked: int, unknown: int) -> None:
        part = self._part(self.clock())
        if one.parts and one.parts[-1][0] == part:
            _, before, before_unknown = one.parts.pop()
            asked, unknown = asked + before, unknown + before_unknown
        one.parts.append((part, asked, unknown))

    def _ringing(self, one: _Key, now: datetime) -> UnknownPatients | None:
        while one.parts and one.parts[0][0] <= self._part(now) - PARTS:
            one.parts.popleft()
        asked, unknown = sum(part[1] for part in one.parts), sum(part[2] for part in one.parts)
        if not self.alarm.rings(asked, unknown):
            one.since = one.notified = None
            return None
        one.since = one.since or now
        return UnknownPatients(one.enterprise, one.id, one.since, asked, unknown)

    def _is_notification_due(self, one: _Key) -> bool:
        with self._lock:
            now = self.clock()
            if one.notified is not None and now - one.notified < self.alarm.within:
                return False
            one.notified = now
            return True

    def _part(self, at: datetime) -> int:
        return int(at.timestamp() * PARTS // self.alarm.within.total_seconds())
