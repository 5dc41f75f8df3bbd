"""Which alerts were sent to whom, so that a restart or another process does not send them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_operations import AlertRow
from store.domain.documents import instant

KEY = ("target", "kind", "enterprise", "source")
COLUMNS = (*KEY, "since", "told", "tried", "attempts")
READ = f"SELECT {', '.join(COLUMNS)} FROM alerts ORDER BY {', '.join(KEY)}"


class AlertSubject(NamedTuple):
    """What an alert is about: a kind of trouble, of one enterprise, and of one source where it has one."""

    kind: str
    enterprise: str
    source: str = ""


class SentAlert(NamedTuple):
    """One alert for one target. ``since``: when it was first noticed; ``told``: when the target last accepted it.

    ``tried``, ``attempts``: the last attempt to deliver it, and how many failed since the target accepted one.
    """

    target: str
    subject: AlertSubject
    since: datetime
    told: datetime | None = None
    tried: datetime | None = None
    attempts: int = 0


class SentAlerts:
    """Reads and writes the rows. ``target`` is a digest: an address may contain a password."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self) -> list[SentAlert]:
        """All of them."""
        with self.database.read() as connection:
            return self.read_in(connection)

    def read_in(self, connection: Connection) -> list[SentAlert]:
        """The same inside a transaction."""
        return [_alert(row) for row in self.database.select(connection, READ, [])]

    def save(self, transaction: Connection, alerts: Iterable[SentAlert]) -> None:
        """Adds or replaces."""
        rows = [(one.target, *one.subject, one.since, one.told, one.tried, one.attempts) for one in alerts]
        self.database.upsert(transaction, AlertRow, COLUMNS, rows)

    def remove(self, transaction: Connection, alerts: Iterable[SentAlert]) -> None:
        """Forgets what is over and was told, or was never told."""
        self.database.delete(transaction, AlertRow, KEY, [(one.target, *one.subject) for one in alerts])


def _alert(row: Sequence[Any]) -> SentAlert:
    target, kind, enterprise, source, since, told, tried, attempts = row
    times = (instant(told) if told else None, instant(tried) if tried else None)
    return SentAlert(target, AlertSubject(kind, enterprise, source), instant(since), *times, attempts)
