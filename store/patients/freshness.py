"""How long ago each source sent anything, so that a decision can state the age of its data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from store.db.database import Database
from store.db.second_cache import SecondCache
from store.domain.documents import instant
from store.domain.enterprise import Enterprise

OWNERS = "SELECT source, enterprise FROM source_states"


class Age(NamedTuple):
    """``as_of``: the age of the oldest source. ``stale``: some source has sent nothing for longer than its ``freshness``."""

    as_of: datetime | None
    stale: bool


class Freshness:
    """When each source was last received, read from the database at most once a second."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.last = SecondCache(self._read)

    def last_heard(self, now: datetime) -> dict[str, datetime]:
        """Source -> when it was last received; sources that never sent anything are missing."""
        return self.last.get(None, now.timestamp())

    def owners(self) -> dict[str, str]:
        """Source -> the enterprise it was last received for, also of sources that left the configuration."""
        with self.database.read() as connection:
            return {row[0]: row[1] for row in self.database.select(connection, OWNERS, [])}

    def ages(self, enterprise: Enterprise, now: datetime) -> Callable[[str], Age]:
        """Returns the age of what is known from some sources (names joined by commas)."""
        last = self.last_heard(now)
        known: dict[str, Age] = {}

        def age(sources: str) -> Age:
            found = known.get(sources)
            if found is None:
                found = known[sources] = _age(enterprise, sources, last, now)
            return found

        return age

    def stale(self, enterprises: Iterable[Enterprise], now: datetime) -> dict[str, bool]:
        """Source -> whether it has sent nothing for longer than its ``freshness``."""
        last = self.last_heard(now)
        return {one.name: _is_stale(each, one.name, last.get(one.name), now) for each in enterprises for one in each.sources}

    def _read(self, _: None) -> dict[str, datetime]:
        with self.database.read() as connection:
            rows = self.database.select(connection, "SELECT source, last_heard FROM source_states WHERE last_heard IS NOT NULL", [])
        return {source: instant(last) for source, last in rows}


def _age(enterprise: Enterprise, sources: str, last: dict[str, datetime], now: datetime) -> Age:
    names = [name for name in sources.split(",") if name]
    times = [last[name] for name in names if name in last]
    return Age(min(times, default=None), any(_is_stale(enterprise, name, last.get(name), now) for name in names))


def _is_stale(enterprise: Enterprise, name: str, last: datetime | None, now: datetime) -> bool:
    """Whether a source sent nothing for too long. One that left the configuration is always stale."""
    source = enterprise.source(name)
    if source is None:
        return True
    return source.freshness is not None and (last is None or now - last > source.freshness)
