"""Chains of lines that cannot be changed, removed or reordered unnoticed: each line's hash covers the line before it.

One chain per enterprise and purpose, numbered from 1. The newest number and hash stand in a row of their own, so that cutting off
the end shows too; somebody who can rewrite the whole table shows only against a head that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store import documents
from store.apply import instant
from store.chain_tables import ChainHeadRow, ChainLinkRow
from store.database import Database

COLUMNS = ("enterprise", "chain", "number", "at", "actor", "action", "subject", "detail", "hash")
HEAD = "SELECT number, hash FROM chain_heads WHERE enterprise = ? AND chain = ?"
HEADS = "SELECT enterprise, chain, number, hash FROM chain_heads ORDER BY enterprise, chain"
CHAINS = "SELECT DISTINCT enterprise, chain FROM chain_links"
LINES = "SELECT number, at, actor, action, subject, detail, hash FROM chain_links WHERE enterprise = ? AND chain = ?"
PAGE = 5_000
NOTHING_BEFORE = ""


class Line(NamedTuple):
    """Who did what to which subject (an opaque id), when; ``detail`` is JSON text."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str


class Link(NamedTuple):
    """A line in its place."""

    number: int
    line: Line
    hash: str


class Head(NamedTuple):
    """How long a chain is, and its last hash."""

    enterprise: str
    chain: str
    number: int
    hash: str


class Verdict(NamedTuple):
    """What verifying a chain found: ``broken_at`` is the first line that does not fit, ``None`` when all do."""

    head: Head
    broken_at: int | None
    why: str


def link(previous: str, head: tuple[str, str, int], line: Line) -> str:
    """The hash of a line: SHA-256 over the hash before it, its place and its content."""
    at = line.at.astimezone(UTC).isoformat()
    return hashlib.sha256(documents.write((previous, *head, at, *line[1:])).encode()).hexdigest()


class Chain:
    """The chains of one purpose, one per enterprise."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name = database, name

    def add(self, enterprise: str, lines: Sequence[Line]) -> None:
        """Adds lines in a transaction of their own. Waits for no other writer of the enterprise (PostgreSQL)."""
        with self.database.write(self._lock(enterprise)) as transaction:
            self.append(transaction, enterprise, lines)

    def append(self, transaction: Connection, enterprise: str, lines: Sequence[Line]) -> None:
        """Adds lines inside the caller's transaction, after everything else that it locks."""
        self.database.lock_also(transaction, self._lock(enterprise))
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

    def _lock(self, enterprise: str) -> str:
        return f"{self.name} of {enterprise}"


def verify(database: Database, enterprise: str | None = None, noted: Sequence[Head] = ()) -> list[Verdict]:
    """Walks every chain from its first line. ``noted`` are heads from an earlier time, which the chains must still pass through."""
    with database.read() as connection:
        heads = {row[:2]: Head(*row) for row in map(tuple, database.select(connection, HEADS, []))}
        for row in database.select(connection, CHAINS, []):
            heads.setdefault(tuple(row), Head(row[0], row[1], 0, NOTHING_BEFORE))
        for one in noted:
            heads.setdefault(one[:2], Head(one.enterprise, one.chain, 0, NOTHING_BEFORE))
        chosen = [head for head in heads.values() if enterprise in (None, head.enterprise)]
        return [_verified(database, connection, head, [one for one in noted if one[:2] == head[:2]]) for head in chosen]


def _verified(database: Database, connection: Connection, head: Head, noted: Sequence[Head]) -> Verdict:
    expected = {one.number: one.hash for one in noted}
    number, last = 0, NOTHING_BEFORE
    for found in _links(database, connection, head):
        number += 1
        if found.number != number:
            return Verdict(head, number, "a line is missing")
        last = link(last, (head.enterprise, head.chain, number), found.line)
        if found.hash != last:
            return Verdict(head, number, "the line was changed")
        if expected.pop(number, last) != last:
            return Verdict(head, number, "it is not the line that was noted: the chain was written anew")
    if (number, last) != (head.number, head.hash) or expected:
        return Verdict(head, number + 1, "lines at the end are missing")
    return Verdict(head, None, "")


def _links(database: Database, connection: Connection, head: Head) -> Iterator[Link]:
    """The chain a page at a time, up to its head: what is added meanwhile is for the next time. Lines beyond a lost head count."""
    after = 0
    upto, parameters = (" AND number <= ?", [head.number]) if head.number else ("", [])
    sql = f"{LINES}{upto} AND number > ? ORDER BY number LIMIT ?"
    while rows := database.select(connection, sql, [head.enterprise, head.chain, *parameters, after, PAGE]):
        yield from map(_link, rows)
        after = rows[-1][0]


def _link(row: Any) -> Link:
    number, at, actor, action, subject, detail, digest = row
    return Link(number, Line(instant(at), actor, action, subject, detail), digest)
