"""What the adapter of a source keeps between runs, beside its cursor: short texts by key. The store does not look into them."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables import SourceNoteRow

KEYS = ("source", "key")


class SourceNotes:
    """The notes of one source. Thread-safe, and one step against other processes of the same database."""

    def __init__(self, database: Database, source: str, enterprise: str) -> None:
        self.database, self.source, self.enterprise = database, source, enterprise

    def read(self, key: str) -> str | None:
        """What was noted last."""
        with self.database.read() as connection:
            return self._text(connection, key)

    def change(self, key: str, how: Callable[[str | None], str]) -> str:
        """Notes what ``how`` makes of what was noted last. Returns only after the commit."""
        with self.database.write(self.enterprise) as transaction:
            text = how(self._text(transaction, key))
            row = (self.source, key, self.enterprise, text)
            self.database.upsert(transaction, SourceNoteRow, (*KEYS, "enterprise", "text"), [row])
        return text

    def _text(self, connection: Connection, key: str) -> str | None:
        rows = self.database.select(connection, "SELECT text FROM source_notes WHERE source = ? AND key = ?", [self.source, key])
        return str(rows[0][0]) if rows else None
