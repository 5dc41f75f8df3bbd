"""Slows down password guessing by address, by name, and by both together, with growing waits. It is kept in memory.

Waits that a stranger could cause for somebody else are short: knowing a name must not be enough to lock its user out. A user who has signed
in from an address before is not slowed down there by the attempts of others, made there or elsewhere. An attempt that has to wait is
neither counted nor checked, so it costs nothing and does not reveal which names exist.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple, Protocol

FORGOTTEN = timedelta(hours=1)
KNOWN_FOR = timedelta(days=30)
MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Pace:
    """``free`` wrong attempts cause no wait. After each further one the wait doubles, from one second to ``longest``."""

    free: int
    longest: timedelta

    def wait(self, wrong: int) -> timedelta:
        """How long after the last of this many wrong attempts the next one may be made."""
        if wrong < self.free:
            return timedelta(0)
        return min(self.longest, timedelta(seconds=2 ** min(wrong - self.free, 30)))


PACE_BOTH = Pace(5, timedelta(minutes=5))
PACE_NAME = Pace(20, timedelta(minutes=1))
PACE_ADDRESS = Pace(30, timedelta(minutes=1))


class WrongTries(NamedTuple):
    """The number of wrong attempts in a row, and the time of the last one."""

    tries: int
    last: datetime


class Counter:
    """Wrong attempts by key, for the most recent :data:`MOST_KEPT` keys. Not thread-safe."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._kept: OrderedDict[bytes, WrongTries] = OrderedDict()

    def remaining_wait(self, key: bytes, now: datetime) -> timedelta:
        """How long the next attempt has to wait. Never longer than the pace allows, even if the clock is set back."""
        found = self._found(key, now)
        wait = self.pace.wait(found.tries)
        return max(timedelta(0), min(wait, found.last + wait - now))

    def add(self, key: bytes, now: datetime) -> None:
        """Counts an attempt."""
        found = self._found(key, now)
        self._kept.pop(key, None)
        self._kept[key] = WrongTries(found.tries + 1, now)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def take_back(self, key: bytes) -> None:
        """Takes back an attempt that was not wrong."""
        found = self._kept.get(key)
        if found is not None:
            self._kept[key] = found._replace(tries=found.tries - 1)

    def forget(self, key: bytes) -> None:
        """Forgets the attempts of this key."""
        self._kept.pop(key, None)

    def _found(self, key: bytes, now: datetime) -> WrongTries:
        found = self._kept.get(key)
        return found if found is not None and now - found.last < FORGOTTEN else WrongTries(0, now)


class AdmitsAttempts(Protocol):
    """Whoever admits attempts: a :class:`Throttle` here or in another process."""

    def admit(self, name: str, address: str, now: datetime) -> timedelta: ...

    def accept(self, name: str, address: str, now: datetime) -> None: ...


class Throttle:
    """Admits sign-in attempts. Each counts as wrong until it is proven right, so that parallel attempts gain nothing."""

    def __init__(self) -> None:
        self._both, self._names, self._addresses = Counter(PACE_BOTH), Counter(PACE_NAME), Counter(PACE_ADDRESS)
        self._known: OrderedDict[bytes, datetime] = OrderedDict()
        self._salt = secrets.token_bytes(32)  # people type passwords into the name field: neither stays readable in memory
        self._lock = threading.Lock()

    def admit(self, name: str, address: str, now: datetime) -> timedelta:
        """Zero if the attempt may be checked now; it is then counted. Otherwise how long to wait; nothing is counted."""
        with self._lock:
            counted = self._counters(name, address, now)
            wait = max(counter.remaining_wait(key, now) for counter, key in counted)
            if not wait:
                for counter, key in counted:
                    counter.add(key, now)
            return wait

    def accept(self, name: str, address: str, now: datetime) -> None:
        """Records a right attempt: this name is known at this address, and its wrong attempts are forgotten."""
        with self._lock:
            counted = self._counters(name, address, now)
            (_, both), *others = counted
            for counter, key in others:
                counter.take_back(key)
            self._both.forget(both)
            self._known.pop(both, None)
            self._known[both] = now
            if len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)

    def _counters(self, name: str, address: str, now: datetime) -> list[tuple[Counter, bytes]]:
        both = self._key(name, address)
        known = self._known.get(both)
        if known is not None and now - known < KNOWN_FOR:
            return [(self._both, both)]
        return [(self._both, both), (self._names, self._key(name, "")), (self._addresses, self._key("", address))]

    def _key(self, name: str, address: str) -> bytes:
        text = f"{name}\0{address}".encode("utf-8", "backslashreplace")
        return blake2b(text, digest_size=16, key=self._salt).digest()
