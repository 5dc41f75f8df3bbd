"""How long ago each source was heard, so that a decision can say how old its knowledge is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from store.db.database import Database
from store.domain.documents import instant
from store.domain.enterprise import Enterprise

KEPT_FOR = timedelta(seconds=1)
OWNERS = "SELECT source, enterprise FROM source_states"


class Age(NamedTuple):
    """``as_of``: what is known was true then. ``stale``: some source of it is silent for longer than its freshness."""

    as_of: datetime | None
    stale: bool


class Freshness:
    """Last times of all sources, read from the database at most once a second."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._heard: dict[str, datetime] = {}
        self._read_at: datetime | None = None
        self._lock = threading.Lock()

    def last_heard(self, now: datetime) -> dict[str, datetime]:
        """Source -> when it was last heard; sources never heard are missing."""
        with self._lock:
            if self._read_at is None or not timedelta(0) <= now - self._read_at < KEPT_FOR:
                self._heard, self._read_at = self._read(), now
            return self._heard

    def owners(self) -> dict[str, str]:
        """Source -> the enterprise it was last heard for, also of sources that left the configuration."""
        with self.database.read() as connection:
            return {row[0]: row[1] for row in self.database.select(connection, OWNERS, [])}

    def ages(self, enterprise: Enterprise, now: datetime) -> Callable[[str], Age]:
        """How old the knowledge about a patient is whom these sources (joined by commas) have stated something about."""
        heard = self.last_heard(now)
        known: dict[str, Age] = {}

        def age(sources: str) -> Age:
            found = known.get(sources)
            if found is None:
                found = known[sources] = _age(enterprise, sources, heard, now)
            return found

        return age

    def stale(self, enterprises: Iterable[Enterprise], now: datetime) -> dict[str, bool]:
        """Source -> whether it is silent for longer than its freshness."""
        heard = self.last_heard(now)
        return {one.name: _silent(each, one.name, heard.get(one.name), now) for each in enterprises for one in each.sources}

    def _read(self) -> dict[str, datetime]:
        with self.database.read() as connection:
            rows = self.database.select(connection, "SELECT source, last_heard FROM source_states WHERE last_heard IS NOT NULL", [])
        return {source: instant(heard) for source, heard in rows}


def _age(enterprise: Enterprise, sources: str, heard: dict[str, datetime], now: datetime) -> Age:
    names = [name for name in sources.split(",") if name]
    times = [heard[name] for name in names if name in heard]
    return Age(min(times, default=None), any(_silent(enterprise, name, heard.get(name), now) for name in names))


def _silent(enterprise: Enterprise, name: str, heard: datetime | None, now: datetime) -> bool:
    """A source that left the configuration is not heard any more: what it said is stale."""
    source = enterprise.source(name)
    if source is None:
        return True
    return source.freshness is not None and (heard is None or now - heard > source.freshness)
