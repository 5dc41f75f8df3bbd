"""What open rejections are about: reason and path, the most frequent first. Codes that no table of a mapping knows show up here."""

from __future__ import annotations

from typing import NamedTuple

from store.database import Database

GROUPED = """SELECT source, reason, path, count(*) AS rejections, sum(times) AS times, max(id) AS example FROM rejections
 WHERE enterprise = ? AND status = 'open'{} GROUP BY source, reason, path ORDER BY sum(times) DESC, source, reason, path LIMIT ?"""


class Ranked(NamedTuple):
    """One reason at one path, with how often it came. ``example`` is the id of one of its rejections."""

    source: str
    reason: str
    path: str
    rejections: int
    times: int
    example: str


def ranked(database: Database, enterprise: str, source: str | None = None, limit: int = 10) -> list[Ranked]:
    """The most frequent of an enterprise, or of one source."""
    sql = GROUPED.format(" AND source = ?" if source else "")
    with database.read() as connection:
        rows = database.select(connection, sql, [enterprise, *([source] if source else []), limit])
    return [Ranked(source, reason, path, many, int(times), example) for source, reason, path, many, times, example in rows]


def open_rejections(database: Database, enterprise: str, source: str) -> int:
    """How many rejections of a source are open."""
    sql = "SELECT count(*) FROM rejections WHERE enterprise = ? AND status = 'open' AND source = ?"
    with database.read() as connection:
        return int(database.select(connection, sql, [enterprise, source])[0][0])
