"""Chains of entries that cannot be changed, removed or reordered unnoticed: each entry's hash covers the entry before it.

There is one chain per enterprise and purpose, numbered from 1. The newest number and hash are also kept in a row of their own, so that
removing the end is noticed too. A rewrite of the whole table is noticed only against a head that was noted elsewhere.

Retention may remove the beginning of a chain (``store.audit.retention``). It adds an entry, a cut, with the number and hash of the last
entry removed. From there the rest can still be verified, and verification tells what was removed. A changed cut does not match.
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

CUT_ACTION, CUT_SUBJECT = "cut_chain", "cut"
ANY_NUMBER = 2**62
"""A number higher than that of any entry."""
NEWEST = """SELECT number, at, actor, detail FROM chain_links
 WHERE enterprise = ? AND subject = ? AND chain = ? AND action = ? AND number <= ? ORDER BY number DESC LIMIT 1"""


class Cut(NamedTuple):
    """Entries 1 to ``upto`` were removed at that time. ``hash`` is that of the last of them; entry ``number`` records the removal."""

    upto: int
    hash: str
    at: datetime
    actor: str
    number: int


def cut_detail(upto: int, last: str) -> str:
    """The detail of the entry that records a cut."""
    return documents.write({"upto": upto, "hash": last})


def newest_cut(database: Database, connection: Connection, enterprise: str, chain: str, until: int) -> Cut | None:
    """The latest cut recorded by the first ``until`` entries. ``None`` if there is none, or it was made unreadable."""
    rows = database.select(connection, NEWEST, [enterprise, CUT_SUBJECT, chain, CUT_ACTION, until])
    if not rows:
        return None
    number, at, actor, detail = rows[0]
    try:
        fields = documents.read(detail)
        return Cut(int(fields["upto"]), str(fields["hash"]), instant(at), actor, number)
    except (ValueError, KeyError, TypeError):
        return None


COLUMNS = ("enterprise", "chain", "number", "at", "actor", "action", "subject", "detail", "reference", "hash")
HEAD = "SELECT number, hash FROM chain_heads WHERE enterprise = ? AND chain = ?"
LINES = "SELECT number, at, actor, action, subject, detail, hash FROM chain_links WHERE enterprise = ? AND chain = ?"
PAGE = 5_000
NOTHING_BEFORE = ""


class ChainLine(NamedTuple):
    """Who did what to which subject (an opaque id), when; ``detail`` is JSON text.

    ``reference``: an id in the detail by which the entry can be found (:meth:`Chain.referred`). It is written, not read back.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str
    reference: str | None = None


class Link(NamedTuple):
    """A line with its number and hash: an entry of the chain."""

    number: int
    line: ChainLine
    hash: str


class Head(NamedTuple):
    """The length of a chain and its last hash."""

    enterprise: str
    chain: str
    number: int
    hash: str


def link(previous: str, head: tuple[str, str, int], line: ChainLine) -> str:
    """The hash of an entry: SHA-256 of the previous hash, the entry's place and its content."""
    at = line.at.astimezone(UTC).isoformat()
    content = line.actor, line.action, line.subject, line.detail
    return hashlib.sha256(documents.write((previous, *head, at, *content)).encode()).hexdigest()


class Chain:
    """The chains of one purpose, one per enterprise."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name = database, name

    def add(self, enterprise: str, lines: Sequence[ChainLine]) -> None:
        """Adds entries in a transaction of their own. On PostgreSQL it does not wait for other writers of the enterprise."""
        with self.database.write(self.lock(enterprise)) as transaction:
            self.append(transaction, enterprise, lines)

    def append(self, transaction: Connection, enterprise: str, lines: Sequence[ChainLine]) -> None:
        """Adds entries in the caller's transaction. Call it last, after everything else that the transaction locks."""
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
        """Entries, the newest first."""
        of_subject, parameters = (" AND subject = ?", [subject]) if subject is not None else ("", [])
        sql = f"{LINES}{of_subject} ORDER BY number DESC LIMIT ?"
        with self.database.read() as connection:
            rows = self.database.select(connection, sql, [enterprise, self.name, *parameters, limit])
        return [_link(row) for row in rows]

    def referred(self, enterprise: str, reference: str) -> Link | None:
        """The entry with this reference, or ``None``."""
        sql = f"{LINES} AND reference = ? LIMIT 1"
        with self.database.read() as connection:
            rows = self.database.select(connection, sql, [enterprise, self.name, reference])
        return _link(rows[0]) if rows else None

    def oldest(self, connection: Connection, enterprise: str, limit: int) -> list[Link]:
        """Entries, the oldest first."""
        rows = self.database.select(connection, f"{LINES} ORDER BY number LIMIT ?", [enterprise, self.name, limit])
        return [_link(row) for row in rows]

    def last(self, connection: Connection, enterprise: str) -> list[Link]:
        """The newest entry, if there is one, read on the caller's connection."""
        rows = self.database.select(connection, f"{LINES} ORDER BY number DESC LIMIT 1", [enterprise, self.name])
        return [_link(row) for row in rows]

    def lock(self, enterprise: str) -> str:
        """The name of the lock for writing the chain."""
        return f"{self.name} of {enterprise}"


def links(database: Database, connection: Connection, head: Head, after: int = 0) -> Iterator[Link]:
    """The entries after number ``after`` up to the head, read in pages. Without a head, all of them."""
    upto, parameters = (" AND number <= ?", [head.number]) if head.number else ("", [])
    sql = f"{LINES}{upto} AND number > ? ORDER BY number LIMIT ?"
    while rows := database.select(connection, sql, [head.enterprise, head.chain, *parameters, after, PAGE]):
        yield from map(_link, rows)
        after = rows[-1][0]


def _link(row: Any) -> Link:
    number, at, actor, action, subject, detail, digest = row
    return Link(number, ChainLine(instant(at), actor, action, subject, detail), digest)
