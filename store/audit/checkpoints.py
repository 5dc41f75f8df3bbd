"""Makes the history tamper-evident like the audit log: the digest of newly added rows becomes an entry of a hash chain.

Intake writes rows without any of this, so it is not slowed down. A few seconds later they are attested, a few thousand per entry. From
then on a row that is changed, removed, added or moved is found (``store.audit.verify``). Rows not yet attested are not protected.
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
    """An append-only table whose ``seq`` numbers the rows in the order of their commits.

    ``added``: columns that rows attested before did not have; where one is ``NULL`` it leaves no trace in the digest.
    """

    chain: str
    table: type[Table]
    columns: tuple[str, ...]
    added: tuple[str, ...] = ()


class Attested(NamedTuple):
    """The number and the digest of an enterprise's rows after ``after``, up to and including ``upto``."""

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
    ("in_reply_to",),
)
LEDGERS = {one.chain: one for one in (HISTORY, SMS)}


class Attesting:
    """Attests the rows added to one table."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self.database, self.ledger, self.chain = database, ledger, Chain(database, ledger.chain)

    def run(self, enterprises: Sequence[str], now: datetime) -> int:
        """Attests all rows added since the last run and returns their number. Several processes may run this at once."""
        return sum(self._attest(enterprise, now) for enterprise in enterprises)

    def _attest(self, enterprise: str, now: datetime) -> int:
        done = 0
        while True:
            after = upto(self.chain.newest(enterprise, limit=1))
            with self.database.read() as connection:
                found = digested(self.database, connection, self.ledger, enterprise, after)
            if not found.rows:
                return done
            done += self._write(enterprise, found, now)

    def _write(self, enterprise: str, found: Attested, now: datetime) -> int:
        """Adds the entry, unless another process was faster. Returns the number of rows."""
        with self.database.write(self.chain.lock(enterprise)) as transaction:
            if upto(self.chain.last(transaction, enterprise)) != found.after:
                return 0
            self.chain.append(transaction, enterprise, [ChainLine(now, SERVICE, ATTESTED, "", documents.write(found._asdict()))])
        return found.rows


def digested(database: Database, connection: Connection, ledger: Ledger, enterprise: str, after: int, until: int | None = None) -> Attested:
    """The digest of an enterprise's rows after ``after``: a few thousand, or all up to ``until``."""
    text = database.one_text(ledger.table, ledger.columns, ledger.added)
    limit, parameters = ("LIMIT ?", [AT_ONCE]) if until is None else ("", [])
    bound = "" if until is None else "AND seq <= ? "
    sql = f"SELECT seq, {text} FROM {ledger.table.__tablename__} WHERE enterprise = ? AND seq > ? {bound}ORDER BY seq {limit}"
    rows = database.select(connection, sql, [enterprise, after, *([] if until is None else [until]), *parameters])
    return Attested(after, rows[-1][0] if rows else after, len(rows), _digest(rows))


def read(link: Link) -> Attested:
    """The rows that an entry attests. Raises :class:`ChainBroken` if the entry was made unreadable."""
    try:
        return Attested(**documents.read(link.line.detail))
    except (ValueError, TypeError):
        raise ChainBroken(f"entry {link.number} of a history chain cannot be read: see emr-sync audit verify") from None


def upto(newest: Sequence[Link]) -> int:
    """The last ``seq`` that the newest entry attests; 0 without an entry."""
    return read(newest[0]).upto if newest else 0


def _digest(rows: Sequence[Any]) -> str:
    return hashlib.sha256("\x1e".join([text for _, text in rows]).encode()).hexdigest()
