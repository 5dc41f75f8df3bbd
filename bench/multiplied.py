"""Copies rows of a table many times in one statement: a store that has grown for years is written in a minute.

The SQL is the same for SQLite and PostgreSQL: a recursive table of the numbers 1 to n, and the columns of the existing rows, some of them
computed from the number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < {times:d})"


def multiplied(database: Database, connection: Connection, table: Any, times: int, changed: Mapping[str, str], where: str) -> None:
    """Copies the rows that match ``where``, ``times`` times. ``changed``: column -> SQL with ``n.i`` (1, 2, …) and ``r``, the row."""
    if times < 1:
        return
    columns = [column.name for column in table.__table__.columns if column.name != "seq"]  # the database sets it
    values = ", ".join(changed.get(name, f"r.{name}") for name in columns)
    name = table.__table__.name
    sql = f"{NUMBERS.format(times=times)} INSERT INTO {name} ({', '.join(columns)}) SELECT {values} FROM n, {name} r WHERE {where}"
    connection.exec_driver_sql(sql if database.is_sqlite else sql.replace("%", "%%"))  # ``%`` marks a parameter for the driver
