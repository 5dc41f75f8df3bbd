"""How many patients of a source have newer evidence that could not be read, and since when."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from store.db.database import Database
from store.domain import documents
from store.preference import emr

MOST = 1_000
"""At most so many patients are looked at, so that a page is quick whatever happened."""
MARKED = """SELECT a.unreadable FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE a.authority = ? AND a.unreadable IS NOT NULL AND p.merged_into IS NULL AND p.enterprise = ? LIMIT ?"""


class UnreadablePatients(NamedTuple):
    """The number of patients, and the time of the oldest evidence. Unless those were all (``is_all``), there may be more and older."""

    patients: int
    since: datetime | None
    is_all: bool


def unreadable_since(database: Database, enterprise: str, source: str) -> UnreadablePatients:
    """The patients whom a source left unreadable."""
    with database.read() as connection:
        rows = database.select(connection, MARKED, [emr(source), enterprise, MOST])
    oldest = min((mark.effective for (text,) in rows for mark in documents.read_marks(text).values()), default=None)
    return UnreadablePatients(len(rows), oldest, len(rows) < MOST)
