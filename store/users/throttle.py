"""Slows down the guessing of passwords: by address, by name, and by both together, with waits that grow. In memory, of one process.

A wait is short where a stranger could cause it for somebody else: whoever knows a name must not be able to keep its user out. Somebody
who signed in from an address before is not slowed by what others try, neither there nor elsewhere. A try that has to wait is neither
counted nor checked, so that it costs nothing and says nothing about which names exist.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

FORGOTTEN = timedelta(hours=1)
KNOWN_FOR = timedelta(days=30)
MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Pace:
    """``free`` wrong tries cost nothing. After each further one the wait doubles, from one second to ``longest``."""

    free: int
    longest: timedelta

    def wait(self, wrong: int) -> timedelta:
        """How long after the last of so many wrong tries the next one may come."""
        if wrong < self.free:
            return timedelta(0)
        return min(self.longest, timedelta(seconds=2 ** min(wrong - self.free, 30)))


OF_BOTH = Pace(5, timedelta(minutes=5))
OF_NAME = Pace(20, timedelta(minutes=1))
OF_ADDRESS = Pace(30, timedelta(minutes=1))


class WrongTries(NamedTuple):
    """How many wrong tries in a row, and when the last one was."""

    tries: int
    last: datetime


class Counter:
    """Wrong tries by key, the most recent :data:`MOST_KEPT` keys. Not thread-safe."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._kept: OrderedDict[bytes, WrongTries] = OrderedDict()

    def left(self, key: bytes, now: datetime) -> timedelta:
        """How long the next try has to wait. Never longer than the pace says, whatever the clock does."""
        found = self._found(key, now)
        wait = self.pace.wait(found.tries)
        return max(timedelta(0), min(wait, found.last + wait - now))

    def add(self, key: bytes, now: datetime) -> None:
        """Counts a try."""
        found = self._found(key, now)
        self._kept.pop(key, None)
        self._kept[key] = WrongTries(found.tries + 1, now)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def take_back(self, key: bytes) -> None:
        """A try was not wrong."""
        found = self._kept.get(key)
        if found is not None:
            self._kept[key] = found._replace(tries=found.tries - 1)

    def forget(self, key: bytes) -> None:
        """The tries of this key do not count any more."""
        self._kept.pop(key, None)

    def _found(self, key: bytes, now: datetime) -> WrongTries:
        found = self._kept.get(key)
        return found if found is not None and now - found.last < FORGOTTEN else WrongTries(0, now)


class Throttle:
    """Admits tries to sign in. Each is counted as wrong until it turns out to be right, so that many at once gain nothing."""

    def __init__(self) -> None:
        self._both, self._names, self._addresses = Counter(OF_BOTH), Counter(OF_NAME), Counter(OF_ADDRESS)
        self._known: OrderedDict[bytes, datetime] = OrderedDict()
        self._salt = secrets.token_bytes(32)  # people type passwords into the field of the name: neither stays readable in memory
        self._lock = threading.Lock()

    def admit(self, name: str, address: str, now: datetime) -> timedelta:
        """Zero for a try that may be checked now, which is counted; else how long to wait, and nothing is counted."""
        with self._lock:
            counted = self._counted(name, address, now)
            wait = max(counter.left(key, now) for counter, key in counted)
            if not wait:
                for counter, key in counted:
                    counter.add(key, now)
            return wait

    def right(self, name: str, address: str, now: datetime) -> None:
        """The try was right: this name from this address is known, and its wrong tries are forgotten."""
        with self._lock:
            counted = self._counted(name, address, now)
            (_, both), *others = counted
            for counter, key in others:
                counter.take_back(key)
            self._both.forget(both)
            self._known.pop(both, None)
            self._known[both] = now
            if len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)

    def _counted(self, name: str, address: str, now: datetime) -> list[tuple[Counter, bytes]]:
        both = self._key(name, address)
        known = self._known.get(both)
        if known is not None and now - known < KNOWN_FOR:
            return [(self._both, both)]
        return [(self._both, both), (self._names, self._key(name, "")), (self._addresses, self._key("", address))]

    def _key(self, name: str, address: str) -> bytes:
        text = f"{name}\0{address}".encode("utf-8", "backslashreplace")
        return blake2b(text, digest_size=16, key=self._salt).digest()
