"""Whether chains were tampered with: each is walked from its first line, or from where it was cut, to its head."""

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
    """What verifying a chain found: ``broken_at`` is the first line that does not fit, ``None`` when all do.

    ``cut``: what was removed from its beginning when its time was over.
    """

    head: Head
    broken_at: int | None
    why: str
    cut: Cut | None = None


def heads(database: Database) -> list[Head]:
    """The end of every chain: whoever keeps it elsewhere can tell later whether what came before is still the same."""
    with database.read() as connection:
        return _heads(database, connection)


def verify(database: Database, enterprise: str | None = None, noted: Sequence[Head] = ()) -> list[ChainVerdict]:
    """Walks every chain. ``noted`` are heads from an earlier time, which the chains must still pass through."""
    with database.read() as connection:
        heads = {head[:2]: head for head in _heads(database, connection)}
        for row in database.select(connection, CHAINS, []):
            heads.setdefault(tuple(row), Head(row[0], row[1], 0, NOTHING_BEFORE))
        for one in noted:
            heads.setdefault(one[:2], Head(one.enterprise, one.chain, 0, NOTHING_BEFORE))
    chosen = [head for head in heads.values() if enterprise in (None, head.enterprise)]
    return [_steady(database, head, [one for one in noted if one[:2] == head[:2]]) for head in chosen]


def _heads(database: Database, connection: Connection) -> list[Head]:
    return [Head(*row) for row in database.select(connection, HEADS, [])]


def _steady(database: Database, head: Head, noted: Sequence[Head]) -> ChainVerdict:
    """A chain that is cut while it is walked is walked again: what was removed meanwhile is not missing."""
    while True:
        with database.read() as connection:
            verdict = _walked(database, connection, head, noted)
            if verdict.broken_at is None:
                return _compared(database, connection, verdict)
        with database.read() as connection:
            now = hash_chain.newest(database, connection, head.enterprise, head.chain, hash_chain.ANY)
            if now is None or now.number <= head.number or not head.number:
                return verdict
            head = next(one for one in _heads(database, connection) if one[:2] == head[:2])


def _compared(database: Database, connection: Connection, verdict: ChainVerdict) -> ChainVerdict:
    """Whether the rows are there that a chain over the history attests, and no others."""
    head, reached = verdict.head, 0
    ledger = LEDGERS.get(head.chain)
    if ledger is None:
        return verdict
    for one in links(database, connection, head):
        said = read(one)
        found = digested(database, connection, ledger, head.enterprise, reached, said.upto)
        if found != said:
            return verdict._replace(broken_at=one.number, why="rows covered by this entry were changed, removed or added later")
        reached = said.upto
    return verdict


def _walked(database: Database, connection: Connection, head: Head, noted: Sequence[Head]) -> ChainVerdict:
    start = hash_chain.newest(database, connection, head.enterprise, head.chain, head.number or hash_chain.ANY)
    number, last = (start.upto, start.hash) if start else (0, NOTHING_BEFORE)
    expected = {one.number: one.hash for one in noted}

    def broken(at: int, why: str) -> ChainVerdict:
        return ChainVerdict(head, at, why, start)

    if start is not None:
        if (left := next(links(database, connection, head), None)) is not None and left.number <= start.upto:
            return broken(left.number, "the entry is present although it is recorded as removed by retention")
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
