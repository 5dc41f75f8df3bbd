"""How many patients each key asks about that nobody here knows: somebody who tries identifiers shows, and so does a sender with wrong ones.

Counted in this process, by key, within a sliding window. Nothing is refused by it: what is unknown is answered as unknown.
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
"""Of the window: it moves on by one of them at a time."""


class UnknownPatients(Struct, frozen=True):
    """A key that asks about too many, as readiness tells it: since when, and the counts of the window."""

    enterprise: str
    key: str
    since: datetime
    asked: int
    unknown: int


@dataclass(slots=True)
class _Key:
    """What one key asked: in all, in each part of the window, and since when the alarm rings."""

    key: ApiKey
    asked: int = 0
    unknown: int = 0
    parts: deque[tuple[int, int, int]] = field(default_factory=deque)
    since: datetime | None = None
    told: datetime | None = None


def nobody(found: UnknownPatients) -> None:
    """Where there is no log."""


class LookUps:
    """Counts them. Thread-safe. ``tell`` hears of a key when the alarm begins to ring, and once in each window while it does."""

    def __init__(self, alarm: Alarm, clock: Callable[[], datetime], tell: Callable[[UnknownPatients], None] = nobody) -> None:
        self.alarm, self.clock, self.tell = alarm, clock, tell
        self._keys: dict[str, _Key] = {}
        self._lock = threading.Lock()

    def count(self, key: ApiKey, asked: int, unknown: int) -> None:
        """The key asked about so many patients, of whom so many are unknown."""
        if not asked:
            return
        with self._lock:
            one = self._keys.setdefault(key.id, _Key(key))
            one.asked, one.unknown = one.asked + asked, one.unknown + unknown
            self._add(one, asked, unknown)
            found = self._ringing(one, self.clock()) if unknown else None
        if found is not None and self._is_news(one):
            self.tell(found)

    def totals(self) -> Mapping[str, tuple[int, int]]:
        """By key: how many were asked about, and how many of them are unknown, since the process began."""
        with self._lock:
            return {key: (one.asked, one.unknown) for key, one in self._keys.items()}

    def ringing(self) -> tuple[UnknownPatients, ...]:
        """The keys that ask about too many now."""
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
            one.since = one.told = None
            return None
        one.since = one.since or now
        return UnknownPatients(one.key.enterprise, one.key.id, one.since, asked, unknown)

    def _is_news(self, one: _Key) -> bool:
        with self._lock:
            now = self.clock()
            if one.told is not None and now - one.told < self.alarm.within:
                return False
            one.told = now
            return True

    def _part(self, at: datetime) -> int:
        return int(at.timestamp() * PARTS // self.alarm.within.total_seconds())
