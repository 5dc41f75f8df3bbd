"""The least that any program must do to ingest a patient: decode the line and insert one row; or insert the rows of all tables, ready made.

One durable transaction for each 1,000 patients, as ingest has: executemany on SQLite, COPY on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from store.db.database import Database
from store.db.tables import AssertionRow, ChangeRow, IdentifierRow, PatientRow, PhoneRow, SearchRow
from store.domain.documents import instant
from store.patients.batch_rows import CHANGE_COLUMNS, IDENTIFIER_COLUMNS, PHONE_COLUMNS, SEARCH_COLUMNS
from store.patients.patient_state import ASSERTION_COLUMNS, PATIENT_COLUMNS

BATCH = 1_000
TIMES = ("created", "updated", "effective", "confirmed", "since", "last_heard", "effective_latest", "confirmed_latest", "at")
TABLES: tuple[tuple[Any, tuple[str, ...], str], ...] = (
    (PatientRow, PATIENT_COLUMNS, "id"),
    (IdentifierRow, IDENTIFIER_COLUMNS, "patient_id"),
    (AssertionRow, ASSERTION_COLUMNS, "patient_id"),
    (PhoneRow, PHONE_COLUMNS, "patient_id"),
    (SearchRow, SEARCH_COLUMNS, "patient_id"),
    (ChangeRow, CHANGE_COLUMNS, "patient_id"),
)

Rows = list[tuple[Any, ...]]
PatientRows = list[list[Rows]]
"""For each batch of patients, the rows of each of :data:`TABLES`."""


def one_row(database: Database, lines: Sequence[bytes]) -> None:
    """Decodes each line and inserts it as one row."""
    with database.write("floor") as transaction:
        transaction.exec_driver_sql("CREATE TABLE bench_lines (id TEXT PRIMARY KEY, document TEXT NOT NULL)")
    decode, remaining = msgspec.json.Decoder().decode, iter(lines)
    while batch := [(decode(line)["id"], line.decode()) for line in islice(remaining, BATCH)]:
        with database.write("floor") as transaction:
            if database.is_sqlite:
                transaction.exec_driver_sql("INSERT INTO bench_lines (id, document) VALUES (?, ?)", batch)
                continue
            with transaction.connection.cursor().copy("COPY bench_lines (id, document) FROM STDIN") as copy:
                for row in batch:
                    copy.write_row(row)


def read_rows(database: Database) -> PatientRows:
    """The rows of all patients in a database, to be written to another one."""
    with database.read() as connection:
        numbers = [number for (number,) in database.select(connection, "SELECT id FROM patients ORDER BY id", [])]
        batches = [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
        return [[_rows(database, connection, *table, numbers=batch) for table in TABLES] for batch in batches]


def _rows(database: Database, connection: Any, table: Any, columns: Sequence[str], key: str, *, numbers: list[int]) -> Rows:
    query = f"SELECT {', '.join(columns)} FROM {table.__tablename__} WHERE {key} IN ??"
    instants = [place for place, name in enumerate(columns) if name in TIMES]
    return [_typed(row, instants) for row in database.select(connection, query, [numbers])]


def _typed(row: tuple[Any, ...], instants: Sequence[int]) -> tuple[Any, ...]:
    values = list(row)
    for place in instants:
        values[place] = None if values[place] is None else instant(values[place])
    return tuple(values)


def all_rows(database: Database, batches: PatientRows) -> None:
    """Inserts the rows of all tables. No logic at all."""
    for batch in batches:
        with database.write("floor") as transaction:
            for (table, columns, _), rows in zip(TABLES, batch, strict=True):
                database.insert(transaction, table, columns, rows)
