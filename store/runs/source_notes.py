"""What a source's adapter keeps between runs besides its cursor: short texts by key. The store does not interpret them."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables import SourceNoteRow

KEYS = ("source", "key")


class SourceNotes:
    """The notes of one source. Thread-safe; a change is atomic across processes."""

    def __init__(self, database: Database, source: str, enterprise: str) -> None:
        self.database, self.source, self.enterprise = database, source, enterprise

    def read(self, key: str) -> str | None:
        """The note."""
        with self.database.read() as connection:
            return self._text(connection, key)

    def change(self, key: str, how: Callable[[str | None], str]) -> str:
        """Replaces a note by what ``how`` returns for the previous one. Returns after the commit."""
        with self.database.write(self.enterprise) as transaction:
            text = how(self._text(transaction, key))
            row = (self.source, key, self.enterprise, text)
            self.database.upsert(transaction, SourceNoteRow, (*KEYS, "enterprise", "text"), [row])
        return text

    def _text(self, connection: Connection, key: str) -> str | None:
        rows = self.database.select(connection, "SELECT text FROM source_notes WHERE source = ? AND key = ?", [self.source, key])
        return str(rows[0][0]) if rows else None
