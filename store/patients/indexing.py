"""Adds patients from before there was a search index to it, in groups, one transaction each. After a crash, it continues with the rest.

No version changes: what people and senders see of these patients stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from store.db.tables import PatientRow, SearchRow
from store.domain import search_entry
from store.patients.batch_rows import SEARCH_COLUMNS, search_rows
from store.patients.preferences import Preferences

CHUNK = 500
MISSING = "SELECT id FROM patients WHERE enterprise = ? AND search_entry IS NULL AND merged_into IS NULL ORDER BY id LIMIT ?"


class Indexing:
    """One per process. ``stopped`` ends it early."""

    def __init__(self, store: Preferences, stopped: Callable[[], bool], chunk: int = CHUNK) -> None:
        self.store, self.database, self.stopped, self.chunk = store, store.database, stopped, chunk

    def run(self, enterprise: str) -> int:
        """Adds the patients of an enterprise who are missing. Returns their number."""
        done = 0
        while not self.stopped() and (added := self._add_some(enterprise)):
            done += added
        return done

    def _add_some(self, enterprise: str) -> int:
        with self.database.read() as connection:  # without the lock: usually there is nothing to write
            if not self.database.select(connection, MISSING, [enterprise, 1]):
                return 0
        with self.database.write(enterprise) as transaction:
            missing = [row[0] for row in self.database.select(transaction, MISSING, [enterprise, self.chunk])]
            in_force = self.store.reader(transaction, enterprise).in_force(missing)
            entries = {number: search_entry.entry_of(values) for number, values in in_force.items()}
            rows = [row for number, entry in entries.items() for row in search_rows(enterprise, entry, number)]
            self.database.insert(transaction, SearchRow, SEARCH_COLUMNS, rows)
            self.database.update(
                transaction, PatientRow, ("id",), ("search_entry",), [(entry, number) for number, entry in entries.items()]
            )
        return len(missing)
