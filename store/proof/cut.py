"""A cut of a chain: up to which line it was removed, and the hash of that line, from which the rest goes on. Itself a line of the chain.

So the rest still proves itself, and whoever verifies it is told what is not there any more. A cut that was changed does not fit.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from store import documents
from store.database import Database
from store.moment import instant

ACTION, SUBJECT = "cut_chain", "cut"
ANY = 2**62
"""More lines than a chain can have."""
NEWEST = """SELECT number, at, actor, detail FROM chain_links
 WHERE enterprise = ? AND subject = ? AND chain = ? AND action = ? AND number <= ? ORDER BY number DESC LIMIT 1"""


class Cut(NamedTuple):
    """Lines 1 to ``upto`` were removed at that time. ``hash`` is that of the last of them; line ``number`` says so."""

    upto: int
    hash: str
    at: datetime
    actor: str
    number: int


def written(upto: int, last: str) -> str:
    """The detail of the line that says so."""
    return documents.write({"upto": upto, "hash": last})


def newest(database: Database, connection: Connection, enterprise: str, chain: str, until: int) -> Cut | None:
    """The latest cut that the first ``until`` lines tell of. ``None`` when there is none, or its words were made unreadable."""
    rows = database.select(connection, NEWEST, [enterprise, SUBJECT, chain, ACTION, until])
    if not rows:
        return None
    number, at, actor, detail = rows[0]
    try:
        said = documents.read(detail)
        return Cut(int(said["upto"]), str(said["hash"]), instant(at), actor, number)
    except (ValueError, KeyError, TypeError):
        return None
