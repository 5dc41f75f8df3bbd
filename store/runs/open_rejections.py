"""How many rejections nobody has resolved, by source. Read from an index, so that a scrape reads no payloads."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from store.db.database import Database
from store.domain.documents import instant

OPEN = "SELECT source, count(*), min(last_at) FROM rejections WHERE status = 'open' GROUP BY source"


class OpenRejections(NamedTuple):
    """``oldest``: when the one that came longest ago last came."""

    number: int
    oldest: datetime


def open_rejections(database: Database) -> dict[str, OpenRejections]:
    """Source -> its open rejections; sources without any are missing."""
    with database.read() as connection:
        return {source: OpenRejections(number, instant(at)) for source, number, at in database.select(connection, OPEN, [])}
