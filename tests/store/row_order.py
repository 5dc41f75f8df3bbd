"""Turns the order in which a database happens to return rows that no query sorts.

PostgreSQL changes it whenever a row is updated, or a table has grown enough for another plan.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, text

from store.db import tables
from store.db.database import Database


def turn_rows(database: Database) -> None:
    """Queries without an order give their rows in another one from now on."""
    if database.is_sqlite:
        event.listen(database.engine, "checkout", _reversed)
        return
    for table in tables.Table.known.sorted_tables:
        _write_again_backwards(database, f'"{table.name}"', f'"{table.columns[0].name}"')
    with database.engine.begin() as connection:
        connection.execute(text(f'ALTER DATABASE "{database.engine.url.database}" SET enable_indexscan TO off'))
    database.engine.dispose()


def _reversed(connection: Any, *_rest: object) -> None:
    connection.execute("PRAGMA reverse_unordered_selects=ON")


def _write_again_backwards(database: Database, table: str, column: str) -> None:
    """An updated row moves to the end of its table."""
    with database.engine.begin() as connection:
        places = [place for (place,) in connection.execute(text(f"SELECT ctid::text FROM {table}"))]
        for place in reversed(places):
            connection.execute(text(f"UPDATE {table} SET {column} = {column} WHERE ctid = '{place}'"))
