"""Which tables the database would read as a whole, by its own plans of the statements that a piece of work sends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, event

from store.db.database import Database
from store.db.tables import Table

EXPLAINABLE = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
PREFIX = {True: "EXPLAIN QUERY PLAN ", False: "EXPLAIN "}
WHOLE = re.compile(r"^SCAN (\w+)|Seq Scan on (\w+)")
SMALL = 100
"""PostgreSQL reads tables of a few rows as a whole on purpose."""


def whole_tables(database: Database, work: Callable[[], object]) -> list[str]:
    """Does the work; returns the names of the tables of which one of its statements reads every row."""
    seen: dict[str, Any] = {}

    def noted(_: Connection, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        seen.setdefault(statement, parameters[0] if parameters and isinstance(parameters[0], tuple | list) else parameters)

    event.listen(database.engine, "before_cursor_execute", noted)
    try:
        work()
    finally:
        event.remove(database.engine, "before_cursor_execute", noted)
    return sorted(_scanned(database, seen))


def _scanned(database: Database, statements: Mapping[str, Any]) -> set[str]:
    """Tables that the plan of a statement reads as a whole."""
    found: set[str] = set()
    with database.engine.connect() as connection, connection.begin() as transaction:
        driver: Any = connection.connection.driver_connection
        for statement, parameters in statements.items():
            if EXPLAINABLE.match(statement):
                plan = driver.cursor().execute(PREFIX[database.is_sqlite] + statement, parameters).fetchall()
                found |= {name for row in plan for match in WHOLE.finditer(str(row[-1])) for name in match.groups() if name}
        large = {name for name in found if name in Table.known.tables and _has_rows(connection, name)}
        transaction.rollback()
    return large


def _has_rows(connection: Connection, table: str) -> bool:
    """Whether the table has more than a few rows."""
    return len(connection.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT {SMALL + 1}").fetchall()) > SMALL
