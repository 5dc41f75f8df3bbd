"""The runs that held sets belong to: opened for a live feed, counted up, and closed when a person decides."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables import RunRow
from store.domain import documents
from store.domain.ids import token
from store.preference import RecordOutcome
from store.runs.runs import RUN_COLUMNS, RunKind, RunStatus

OPEN = "SELECT id FROM runs WHERE source = ? AND kind = 'live' AND status = 'held' ORDER BY started DESC LIMIT 1"
EMPTY = """SELECT id FROM runs WHERE source = ? AND status = 'held'
 AND NOT EXISTS (SELECT 1 FROM held_statements h WHERE h.run_id = runs.id AND h.state = 'held')"""
REPLACED = "the held changes were replaced by newer evidence"


class HeldRuns:
    """Reads and writes the runs that hold changes, inside transactions that the caller opened."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def live_run(self, transaction: Connection, source: str, enterprise: str, *, now: datetime) -> str:
        """The run for what a live feed holds: the same one until somebody decides."""
        found = self.database.select(transaction, OPEN, [source])
        if found:
            return str(found[0][0])
        return self.open(transaction, (source, enterprise, RunKind.LIVE), 0, None, now=now)

    def open(self, transaction: Connection, about: tuple[str, str, RunKind], patients: int, note: str | None, *, now: datetime) -> str:
        """Opens a run that holds something; ``about`` is its source, enterprise and kind. The note may contain ``{patients}``."""
        number, counts = token("run"), documents.write({RecordOutcome.HELD: patients})
        told = note.format(patients=patients) if note else None
        row = (number, *about, RunStatus.HELD, "", now, now, None, None, None, counts, told)
        self.database.insert(transaction, RunRow, RUN_COLUMNS, [row])
        return number

    def count(self, transaction: Connection, run_id: str, more: int, *, now: datetime) -> None:
        """Adds to the number of held statements of a run."""
        counts = documents.read(self.database.select(transaction, "SELECT counts FROM runs WHERE id = ?", [run_id])[0][0])
        counts[RecordOutcome.HELD] = counts.get(RecordOutcome.HELD, 0) + more
        self.database.update(transaction, RunRow, ("id",), ("counts", "alive"), [(documents.write(counts), now, run_id)])

    def close(self, transaction: Connection, run_id: str, *, now: datetime) -> None:
        """Closes a run: nothing of it is held any more."""
        self.database.update(transaction, RunRow, ("id", "status"), ("finished",), [(now, run_id, RunStatus.HELD)])
        self.database.update(transaction, RunRow, ("id",), ("status",), [(RunStatus.DONE, run_id)])

    def close_empty(self, transaction: Connection, source: str, *, now: datetime) -> None:
        """Closes the runs of a source whose held changes were all replaced by newer evidence."""
        for (number,) in self.database.select(transaction, EMPTY, [source]):
            self.close(transaction, number, now=now)
            self.set_note(transaction, number, REPLACED)

    def set_note(self, transaction: Connection, run_id: str, note: str | None) -> None:
        """Sets the one-line note that is shown with the run."""
        self.database.update(transaction, RunRow, ("id",), ("error",), [(note, run_id)])
