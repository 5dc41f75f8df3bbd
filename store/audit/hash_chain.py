"""Chains of lines that cannot be changed, removed or reordered unnoticed: each line's hash covers the line before it.

One chain per enterprise and purpose, numbered from 1. The newest number and hash stand in a row of their own, so that cutting off
the end shows too; somebody who can rewrite the whole table shows only against a head that was noted elsewhere. Its beginning may be
removed when its time is over (``store.audit.retention``): a line of the chain says so (``store.audit.hash_chain``), from which the rest
proves itself.

A cut of a chain: up to which line it was removed, and the hash of that line, from which the rest goes on. Itself a line of the chain.

So the rest still proves itself, and whoever verifies it is told what is not there any more. A cut that was changed does not fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_operations import ChainHeadRow, ChainLinkRow
from store.domain import documents
from store.domain.documents import instant

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


COLUMNS = ("enterprise", "chain", "number", "at", "actor", "action", "subject", "detail", "hash")
HEAD = "SELECT number, hash FROM chain_heads WHERE enterprise = ? AND chain = ?"
LINES = "SELECT number, at, actor, action, subject, detail, hash FROM chain_links WHERE enterprise = ? AND chain = ?"
PAGE = 5_000
NOTHING_BEFORE = ""


class ChainLine(NamedTuple):
    """Who did what to which subject (an opaque id), when; ``detail`` is JSON text."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str


class Link(NamedTuple):
    """A line in its place."""

    number: int
    line: ChainLine
    hash: str


class Head(NamedTuple):
    """How long a chain is, and its last hash."""

    enterprise: str
    chain: str
    number: int
    hash: str


def link(previous: str, head: tuple[str, str, int], line: ChainLine) -> str:
    """The hash of a line: SHA-256 over the hash before it, its place and its content."""
    at = line.at.astimezone(UTC).isoformat()
    return hashlib.sha256(documents.write((previous, *head, at, *line[1:])).encode()).hexdigest()


class Chain:
    """The chains of one purpose, one per enterprise."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name = database, name

    def add(self, enterprise: str, lines: Sequence[ChainLine]) -> None:
        """Adds lines in a transaction of their own. Waits for no other writer of the enterprise (PostgreSQL)."""
        with self.database.write(self.lock(enterprise)) as transaction:
            self.append(transaction, enterprise, lines)

    def append(self, transaction: Connection, enterprise: str, lines: Sequence[ChainLine]) -> None:
        """Adds lines inside the caller's transaction, after everything else that it locks."""
        self.database.lock_also(transaction, self.lock(enterprise))
        found = self.database.select(transaction, HEAD, [enterprise, self.name])
        number, last = found[0] if found else (0, NOTHING_BEFORE)
        rows = []
        for line in lines:
            number += 1
            last = link(last, (enterprise, self.name, number), line)
            rows.append((enterprise, self.name, number, *line, last))
        self.database.insert(transaction, ChainLinkRow, COLUMNS, rows)
        self.database.upsert(transaction, ChainHeadRow, ("enterprise", "chain", "number", "hash"), [(enterprise, self.name, number, last)])

    def newest(self, enterprise: str, subject: str | None = None, limit: int = 100) -> list[Link]:
        """Lines, the newest first."""
        of_subject, parameters = (" AND subject = ?", [subject]) if subject is not None else ("", [])
        sql = f"{LINES}{of_subject} ORDER BY number DESC LIMIT ?"
        with self.database.read() as connection:
            rows = self.database.select(connection, sql, [enterprise, self.name, *parameters, limit])
        return [_link(row) for row in rows]

    def oldest(self, connection: Connection, enterprise: str, limit: int) -> list[Link]:
        """Lines, the oldest first."""
        rows = self.database.select(connection, f"{LINES} ORDER BY number LIMIT ?", [enterprise, self.name, limit])
        return [_link(row) for row in rows]

    def last(self, connection: Connection, enterprise: str) -> list[Link]:
        """The newest line, if there is one, inside a connection that the caller opened."""
        rows = self.database.select(connection, f"{LINES} ORDER BY number DESC LIMIT 1", [enterprise, self.name])
        return [_link(row) for row in rows]

    def lock(self, enterprise: str) -> str:
        """The name of the lock that whoever writes the chain holds."""
        return f"{self.name} of {enterprise}"


def links(database: Database, connection: Connection, head: Head, after: int = 0) -> Iterator[Link]:
    """The chain beyond line ``after``, a page at a time, up to its head. Where there is no head, all lines."""
    upto, parameters = (" AND number <= ?", [head.number]) if head.number else ("", [])
    sql = f"{LINES}{upto} AND number > ? ORDER BY number LIMIT ?"
    while rows := database.select(connection, sql, [head.enterprise, head.chain, *parameters, after, PAGE]):
        yield from map(_link, rows)
        after = rows[-1][0]


def _link(row: Any) -> Link:
    number, at, actor, action, subject, detail, digest = row
    return Link(number, ChainLine(instant(at), actor, action, subject, detail), digest)
