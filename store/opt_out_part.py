"""Some of the opt-out report, for people who look at it: the next ones behind a number, in bounded time, whatever is filtered."""

from __future__ import annotations

from typing import NamedTuple

from store.database import Database
from store.opt_outs import OptedOut, Wanted, among

LOOKED_THROUGH = 5_000
"""At most so many numbers are read for one part: a filter that fits few must not hold it up."""
NUMBERS = """SELECT number, words FROM sms_words WHERE enterprise = ? AND number > ? AND number LIKE ? AND words LIKE ?
 ORDER BY number LIMIT ?"""


class Part(NamedTuple):
    """Some opt-outs by number. ``after``: the number to go on from, ``None`` where nothing more can come."""

    opt_outs: tuple[OptedOut, ...] = ()
    after: str | None = None


def part(database: Database, enterprise: str, wanted: Wanted, *, digits: str = "", after: str = "", limit: int = 100) -> Part:
    """The next opt-outs behind a number that holds the digits: ``limit`` or a few more, for a number's own are never torn apart."""
    words = f'%"{wanted.authority}"%' if wanted.authority else "%true%"  # an opt-out is written as true
    found: list[OptedOut] = []
    looked, more = 0, True
    with database.read() as connection:
        while more and len(found) < limit and looked < LOOKED_THROUGH:
            rows = database.select(connection, NUMBERS, [enterprise, after, f"%{digits}%", words, limit])
            found += among(database, connection, enterprise, rows, wanted)
            after, looked, more = rows[-1][0] if rows else after, looked + len(rows), len(rows) == limit
    return Part(tuple(found), after if more else None)
