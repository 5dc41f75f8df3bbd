"""Retention: removes the oldest entries of a chain so that the rest can still be verified (``store.audit.hash_chain``)."""

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
ACTOR = "housekeeping"


class ChainRetention:
    """Applies retention to the chains of one purpose."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.chain = database, Chain(database, name)

    def run(self, before: datetime, now: datetime) -> int:
        """Removes entries older than ``before`` from the chain of every enterprise and returns their number.

        Each transaction removes a few thousand and records that in a new entry. Entries that do not match are kept as evidence of
        tampering; :class:`ChainBroken` is raised after the other enterprises' chains are done.
        """
        with self.database.read() as connection:
            enterprises = [row[0] for row in self.database.select(connection, ENTERPRISES, [self.chain.name])]
        done, broken = 0, None
        for enterprise in enterprises:
            try:
                while self._is_due(enterprise, before) and (removed := self._remove_some(enterprise, before, now)):
                    done += removed
            except ChainBroken as error:
                broken = error
        if broken is not None:
            raise broken
        return done

    def _is_due(self, enterprise: str, before: datetime) -> bool:
        """Whether anything is due. Reads without a lock, since usually nothing is."""
        with self.database.read() as connection:
            return any(one.line.at < before for one in self.chain.oldest(connection, enterprise, 1))

    def _remove_some(self, enterprise: str, before: datetime, now: datetime) -> int:
        with self.database.write(self.chain.lock(enterprise)) as transaction:
            old = self._old(transaction, enterprise, before)
            if not old:
                return 0
            self._check(transaction, enterprise, old)
            keys = [(enterprise, self.chain.name, one.number) for one in old]
            self.database.delete(transaction, ChainLinkRow, ("enterprise", "chain", "number"), keys)
            detail = hash_chain.cut_detail(old[-1].number, old[-1].hash)
            self.chain.append(transaction, enterprise, [ChainLine(now, ACTOR, hash_chain.CUT_ACTION, hash_chain.CUT_SUBJECT, detail)])
        return len(old)

    def _old(self, transaction: Connection, enterprise: str, before: datetime) -> list[Link]:
        """The entries to remove next. The entry that records the last cut is kept while it is the only one."""
        old = list(takewhile(lambda one: one.line.at < before, self.chain.oldest(transaction, enterprise, AT_ONCE)))
        only_the_cut = len(old) == 1 and old[0].line.action == hash_chain.CUT_ACTION
        if only_the_cut and self.database.select(transaction, HEAD, [self.chain.name, enterprise])[0][0] == old[0].number:
            return []
        return old

    def _check(self, transaction: Connection, enterprise: str, old: Sequence[Link]) -> None:
        start = hash_chain.newest_cut(self.database, transaction, enterprise, self.chain.name, hash_chain.ANY_NUMBER)
        number, last = (start.upto, start.hash) if start else (0, NOTHING_BEFORE)
        for found in old:
            number += 1
            last = link(last, (enterprise, self.chain.name, number), found.line)
            if (found.number, found.hash) != (number, last):
                raise ChainBroken(f"entry {number} of chain {self.chain.name} of {enterprise} does not match: run emr-sync audit verify")
