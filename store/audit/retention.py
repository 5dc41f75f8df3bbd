"""Removes the beginning of a chain when its time is over, so that the rest still proves itself (``store.audit.hash_chain``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from sqlalchemy import Connection

from store.audit import hash_chain
from store.audit.hash_chain import NOTHING_BEFORE, Chain, ChainLine, Link, link
from store.db.database import Database
from store.db.tables_operations import ChainLinkRow
from store.errors import ChainBroken

ENTERPRISES = "SELECT enterprise FROM chain_heads WHERE chain = ? ORDER BY enterprise"
HEAD = "SELECT number FROM chain_heads WHERE chain = ? AND enterprise = ?"
AT_ONCE = 5_000
HOUSEKEEPING = "housekeeping"


class Cutting:
    """Cuts the chains of one purpose."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.chain = database, Chain(database, name)

    def run(self, before: datetime, now: datetime) -> int:
        """Removes what every enterprise's chain has from before that time; how many lines.

        A few thousand in each transaction, with the line that says so. Lines that do not fit stay, as proof of what was done to them:
        raises :class:`ChainBroken` once the chains of all others are cut.
        """
        with self.database.read() as connection:
            enterprises = [row[0] for row in self.database.select(connection, ENTERPRISES, [self.chain.name])]
        done, broken = 0, None
        for enterprise in enterprises:
            try:
                while self._is_due(enterprise, before) and (piece := self._piece(enterprise, before, now)):
                    done += piece
            except ChainBroken as error:
                broken = error
        if broken is not None:
            raise broken
        return done

    def _is_due(self, enterprise: str, before: datetime) -> bool:
        """Looks without a lock, for nothing is due at most times."""
        with self.database.read() as connection:
            return any(one.line.at < before for one in self.chain.oldest(connection, enterprise, 1))

    def _piece(self, enterprise: str, before: datetime, now: datetime) -> int:
        with self.database.write(self.chain.lock(enterprise)) as transaction:
            old = self._old(transaction, enterprise, before)
            if not old:
                return 0
            self._check(transaction, enterprise, old)
            gone = [(enterprise, self.chain.name, one.number) for one in old]
            self.database.delete(transaction, ChainLinkRow, ("enterprise", "chain", "number"), gone)
            said = hash_chain.written(old[-1].number, old[-1].hash)
            self.chain.append(transaction, enterprise, [ChainLine(now, HOUSEKEEPING, hash_chain.ACTION, hash_chain.SUBJECT, said)])
        return len(old)

    def _old(self, transaction: Connection, enterprise: str, before: datetime) -> list[Link]:
        """What is to be removed next. The line that tells of the last cut stays while it is all there is."""
        old = list(takewhile(lambda one: one.line.at < before, self.chain.oldest(transaction, enterprise, AT_ONCE)))
        alone = len(old) == 1 and old[0].line.action == hash_chain.ACTION
        if alone and self.database.select(transaction, HEAD, [self.chain.name, enterprise])[0][0] == old[0].number:
            return []
        return old

    def _check(self, transaction: Connection, enterprise: str, old: Sequence[Link]) -> None:
        start = hash_chain.newest(self.database, transaction, enterprise, self.chain.name, hash_chain.ANY)
        number, last = (start.upto, start.hash) if start else (0, NOTHING_BEFORE)
        for found in old:
            number += 1
            last = link(last, (enterprise, self.chain.name, number), found.line)
            if (found.number, found.hash) != (number, last):
                raise ChainBroken(f"entry {number} of chain {self.chain.name} of {enterprise} does not match: run emr-sync audit verify")
