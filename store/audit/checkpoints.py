"""The history is proven like the audit log: the digest over the rows that came since the last time becomes a line of a chain.

Rows are written without any of this, so intake is no slower; a few seconds later they are attested, a few thousand to a line. From
then on a row that is changed, removed, added or moved is found (``store.audit.verify``). What was never attested proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.audit.hash_chain import Chain, ChainLine, Link
from store.db.database import Database
from store.db.tables import ChangeRow, SmsConsentEventRow, Table
from store.domain import documents
from store.errors import ChainBroken

ATTESTED = "attested"
SERVICE = "service"
AT_ONCE = 5_000


class Ledger(NamedTuple):
    """A table to which rows are only added, numbered by ``seq`` in the order in which they appear to others."""

    chain: str
    table: type[Table]
    columns: tuple[str, ...]


class Attested(NamedTuple):
    """The rows of one enterprise from beyond ``after`` up to ``upto``: how many, and their digest."""

    after: int
    upto: int
    rows: int
    digest: str


HISTORY = Ledger(
    "history",
    ChangeRow,
    ("seq", "patient_id", "version", "at", "authority", "actor", "reason", "evidence_id", "effective", "run_id", "changes"),
)
SMS = Ledger(
    "sms_consent",
    SmsConsentEventRow,
    ("seq", "number", "line", "authority", "kind", "scope", "topic", "word", "actor", "reason", "at", "recorded"),
)
LEDGERS = {one.chain: one for one in (HISTORY, SMS)}


class Attesting:
    """Attests what was added to one table, of every enterprise."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self.database, self.ledger, self.chain = database, ledger, Chain(database, ledger.chain)

    def run(self, enterprises: Sequence[str], now: datetime) -> int:
        """Everything that came since the last time; how many rows. Others may do the same at once."""
        return sum(self._all(enterprise, now) for enterprise in enterprises)

    def _all(self, enterprise: str, now: datetime) -> int:
        done = 0
        while True:
            after = upto(self.chain.newest(enterprise, limit=1))
            with self.database.read() as connection:
                found = digested(self.database, connection, self.ledger, enterprise, after)
            if not found.rows:
                return done
            done += self._write(enterprise, found, now)

    def _write(self, enterprise: str, found: Attested, now: datetime) -> int:
        """Unless another process was quicker."""
        with self.database.write(self.chain.lock(enterprise)) as transaction:
            if upto(self.chain.last(transaction, enterprise)) != found.after:
                return 0
            self.chain.append(transaction, enterprise, [ChainLine(now, SERVICE, ATTESTED, "", documents.write(found._asdict()))])
        return found.rows


def digested(database: Database, connection: Connection, ledger: Ledger, enterprise: str, after: int, until: int | None = None) -> Attested:
    """The digest over an enterprise's rows beyond ``after``: some thousand, or all up to ``until``."""
    text = database.one_text(ledger.table, ledger.columns)
    which, parameters = ("LIMIT ?", [AT_ONCE]) if until is None else ("", [])
    bound = "" if until is None else "AND seq <= ? "
    sql = f"SELECT seq, {text} FROM {ledger.table.__tablename__} WHERE enterprise = ? AND seq > ? {bound}ORDER BY seq {which}"
    rows = database.select(connection, sql, [enterprise, after, *([] if until is None else [until]), *parameters])
    return Attested(after, rows[-1][0] if rows else after, len(rows), _digest(rows))


def read(link: Link) -> Attested:
    """What a line attests. Raises :class:`ChainBroken` where somebody made it unreadable."""
    try:
        return Attested(**documents.read(link.line.detail))
    except (ValueError, TypeError):
        raise ChainBroken(f"entry {link.number} of a history chain cannot be read: see emr-sync audit verify") from None


def upto(newest: Sequence[Link]) -> int:
    """How far the newest line reaches."""
    return read(newest[0]).upto if newest else 0


def _digest(rows: Sequence[Any]) -> str:
    return hashlib.sha256("\x1e".join([text for _, text in rows]).encode()).hexdigest()
