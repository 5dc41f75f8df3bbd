"""Verifies that chains were not tampered with: walks each from its first entry, or from its last cut, to its head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from store.audit import hash_chain
from store.audit.checkpoints import LEDGERS, digested, read
from store.audit.hash_chain import NOTHING_BEFORE, Cut, Head, link, links
from store.db.database import Database

HEADS = "SELECT enterprise, chain, number, hash FROM chain_heads ORDER BY enterprise, chain"
CHAINS = "SELECT DISTINCT enterprise, chain FROM chain_links"


class ChainVerdict(NamedTuple):
    """The result for one chain. ``broken_at`` is the first entry that does not match; ``None`` when all match.

    ``cut``: what retention removed from its beginning.
    """

    head: Head
    broken_at: int | None
    why: str
    cut: Cut | None = None


def heads(database: Database) -> list[Head]:
    """The head of every chain. Kept elsewhere, it shows later whether earlier entries are unchanged."""
    with database.read() as connection:
        return heads_of(database, connection)


def heads_of(database: Database, connection: Connection) -> list[Head]:
    """The head of every chain, as the caller's connection sees them."""
    return [Head(*row) for row in database.select(connection, HEADS, [])]


def verify(database: Database, enterprise: str | None = None, noted: Sequence[Head] = ()) -> list[ChainVerdict]:
    """Verifies every chain. ``noted`` are earlier heads, which the chains must still contain."""
    with database.read() as connection:
        heads = {head[:2]: head for head in heads_of(database, connection)}
        for row in database.select(connection, CHAINS, []):
            heads.setdefault(tuple(row), Head(row[0], row[1], 0, NOTHING_BEFORE))
        for one in noted:
            heads.setdefault(one[:2], Head(one.enterprise, one.chain, 0, NOTHING_BEFORE))
    chosen = [head for head in heads.values() if enterprise in (None, head.enterprise)]
    return [_verdict(database, head, [one for one in noted if one[:2] == head[:2]]) for head in chosen]


def _verdict(database: Database, head: Head, noted: Sequence[Head]) -> ChainVerdict:
    """The verdict on one chain. If the chain is cut meanwhile, it is walked again: what retention removed is not missing."""
    while True:
        with database.read() as connection:
            verdict = _walk(database, connection, head, noted)
            if verdict.broken_at is None:
                return _compare_rows(database, connection, verdict)
        with database.read() as connection:
            cut = hash_chain.newest_cut(database, connection, head.enterprise, head.chain, hash_chain.ANY_NUMBER)
            if cut is None or cut.number <= head.number or not head.number:
                return verdict
            head = next(one for one in heads_of(database, connection) if one[:2] == head[:2])


def _compare_rows(database: Database, connection: Connection, verdict: ChainVerdict) -> ChainVerdict:
    """For a chain over the history: checks that exactly the attested rows are there."""
    head, reached = verdict.head, 0
    ledger = LEDGERS.get(head.chain)
    if ledger is None:
        return verdict
    for one in links(database, connection, head):
        attested = read(one)
        found = digested(database, connection, ledger, head.enterprise, reached, attested.upto)
        if found != attested:
            return verdict._replace(broken_at=one.number, why="rows covered by this entry were changed, removed or added later")
        reached = attested.upto
    return verdict


def _walk(database: Database, connection: Connection, head: Head, noted: Sequence[Head]) -> ChainVerdict:
    start = hash_chain.newest_cut(database, connection, head.enterprise, head.chain, head.number or hash_chain.ANY_NUMBER)
    number, last = (start.upto, start.hash) if start else (0, NOTHING_BEFORE)
    expected = {one.number: one.hash for one in noted}

    def broken(at: int, why: str) -> ChainVerdict:
        return ChainVerdict(head, at, why, start)

    if start is not None:
        if (first := next(links(database, connection, head), None)) is not None and first.number <= start.upto:
            return broken(first.number, "the entry is present although it is recorded as removed by retention")
        if expected.pop(number, last) != last:
            return broken(number, "the entry differs from the noted head: the chain was rewritten")
        if expected and min(expected) < number:
            return broken(min(expected), "the entry of the noted head was removed by retention: note a newer head")
    for found in links(database, connection, head, number):
        number += 1
        if found.number != number:
            return broken(number, "an entry is missing")
        last = link(last, (head.enterprise, head.chain, number), found.line)
        if found.hash != last:
            return broken(number, "the entry was changed")
        if expected.pop(number, last) != last:
            return broken(number, "the entry differs from the noted head: the chain was rewritten")
    if (number, last) != (head.number, head.hash) or expected:
        return broken(number + 1, "entries at the end are missing")
    return ChainVerdict(head, None, "", start)
