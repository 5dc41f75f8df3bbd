"""How many rejections nobody has resolved, by source. Read from an index, so that a scrape reads no payloads."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from store.db.database import Database
from store.domain.documents import instant

OPEN = "SELECT source, count(*), min(last_at) FROM rejections WHERE status = 'open' GROUP BY source"
OF_SOURCE = "SELECT count(*) FROM rejections WHERE enterprise = ? AND status = 'open' AND source = ?"


class OpenRejections(NamedTuple):
    """``oldest``: when the one that came longest ago last came."""

    number: int
    oldest: datetime


def open_rejections(database: Database) -> dict[str, OpenRejections]:
    """Source -> its open rejections; sources without any are missing."""
    with database.read() as connection:
        return {source: OpenRejections(number, instant(at)) for source, number, at in database.select(connection, OPEN, [])}


def number_open(database: Database, enterprise: str, source: str) -> int:
    """How many there are of one source."""
    with database.read() as connection:
        return int(database.select(connection, OF_SOURCE, [enterprise, source])[0][0])
