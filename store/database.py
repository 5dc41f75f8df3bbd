"""Engine, transactions and bulk writes. The only file that asks which database it is.

A write transaction is the one writer of its enterprise until it ends (SQLite: of the file), so repositories may read, decide
and write without a race, two sources and staff never undo each other, and the numbers of the change feed appear in order.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, create_engine, event, make_url
from sqlalchemy import Table as SqlTable
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=30000",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
)
Rows = Sequence[tuple[Any, ...]]
COPY_FROM = 64  # rows from which COPY pays for its extra round trips


class Database:
    """One database. ``bulk`` writes and ``listed`` parameters differ by its kind; nothing else does."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._one_writer = threading.Lock()
        # Reads need no transaction: each statement sees what is committed, and PostgreSQL is asked once, not three times.
        self._reads = engine if self.is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def open(cls, url: str) -> Database:
        """Opens ``sqlite:///path`` or ``postgresql+psycopg://…``; connects on first use. ``ValueError`` for another kind."""
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError("an in-memory SQLite database cannot be shared between roles: name a file")
            return cls(_sqlite(url))
        if parsed.drivername == "postgresql+psycopg":
            return cls(create_engine(url, pool_size=10, max_overflow=20, pool_recycle=1800))
        raise ValueError("database must be sqlite:///… or postgresql+psycopg://…")

    def close(self) -> None:
        """Closes every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with. Each statement sees what is committed."""
        with self._reads.connect() as connection:
            yield connection

    @contextmanager
    def write(self, enterprise: str) -> Iterator[Connection]:
        """The one writer of the enterprise. Commits at the end of the block, rolls back when it raises."""
        if self.is_sqlite:
            with self._one_writer, self.engine.connect().execution_options(immediate=True) as connection, connection.begin():
                yield connection
            return
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_lock_number(enterprise),))
            yield connection

    def bound(self, at: datetime) -> Any:
        """A time as a parameter of hand-written SQL."""
        return at.astimezone(UTC).isoformat() if self.is_sqlite else at

    def driver_arguments(self) -> dict[str, Any]:
        """What the driver connects with, for a library that keeps connections of its own to this database."""
        return dict(self.engine.dialect.create_connect_args(self.engine.url)[1])

    def lock_also(self, connection: Connection, name: str) -> None:
        """Inside a write transaction: the one writer of something smaller too, until it ends. SQLite's writer is alone anyhow."""
        if not self.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_lock_number(name),))

    def insert(self, connection: Connection, table: Any, columns: Sequence[str], rows: Rows) -> None:
        """Adds rows that do not exist. ``rows`` are tuples in the order of ``columns``."""
        if not rows:
            return
        sql_table = table.__table__
        prepared = _bound(connection, sql_table, columns, rows)
        if self.is_sqlite:
            connection.exec_driver_sql(self._insert_sql(sql_table, columns), prepared)
        elif len(rows) < COPY_FROM:
            connection.exec_driver_sql(self._insert_arrays_sql(sql_table, columns), _by_column(prepared))
        else:
            _copy(connection, sql_table.name, columns, prepared)

    def upsert(self, connection: Connection, table: Any, columns: Sequence[str], rows: Rows) -> None:
        """Adds rows, or replaces those that have the same primary key. No key may come twice in ``rows``."""
        if not rows:
            return
        sql_table = table.__table__
        keys = [column.name for column in sql_table.primary_key]
        changed = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
        conflict = f" ON CONFLICT ({', '.join(keys)}) DO " + (f"UPDATE SET {changed}" if changed else "NOTHING")
        prepared = _bound(connection, sql_table, columns, rows)
        if self.is_sqlite:
            connection.exec_driver_sql(self._insert_sql(sql_table, columns) + conflict, prepared)
        else:
            connection.exec_driver_sql(self._insert_arrays_sql(sql_table, columns) + conflict, _by_column(prepared))

    def update(self, connection: Connection, table: Any, keys: Sequence[str], columns: Sequence[str], rows: Rows) -> None:
        """Sets ``columns`` where ``keys`` match; rows are tuples of the columns first, the keys last."""
        if not rows:
            return
        sql_table = table.__table__
        names = [*columns, *keys]
        prepared = _bound(connection, sql_table, names, rows)
        if self.is_sqlite:
            assigned, matched = (sep.join(f"{name} = ?" for name in group) for sep, group in ((", ", columns), (" AND ", keys)))
            connection.exec_driver_sql(f"UPDATE {sql_table.name} SET {assigned} WHERE {matched}", prepared)
            return
        assigned = ", ".join(f"{name} = incoming.{name}" for name in columns)
        matched = " AND ".join(f"{sql_table.name}.{name} = incoming.{name}" for name in keys)
        incoming = f"unnest({self._arrays(sql_table, names)}) AS incoming({', '.join(names)})"
        connection.exec_driver_sql(f"UPDATE {sql_table.name} SET {assigned} FROM {incoming} WHERE {matched}", _by_column(prepared))

    def delete(self, connection: Connection, table: Any, keys: Sequence[str], rows: Rows) -> None:
        """Removes the rows that match each tuple of ``keys``."""
        if not rows:
            return
        sql_table = table.__table__
        if self.is_sqlite:
            matched = " AND ".join(f"{name} = ?" for name in keys)
            connection.exec_driver_sql(f"DELETE FROM {sql_table.name} WHERE {matched}", list(rows))
            return
        matched = " AND ".join(f"{sql_table.name}.{name} = gone.{name}" for name in keys)
        gone = f"unnest({self._arrays(sql_table, keys)}) AS gone({', '.join(keys)})"
        connection.exec_driver_sql(f"DELETE FROM {sql_table.name} USING {gone} WHERE {matched}", _by_column(rows))

    def select(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Rows of hand-written SQL, past the expression compiler. ``?`` binds one value, ``IN ??`` a list of text or numbers."""
        if self.is_sqlite:
            bound = tuple(_json_list(value) if isinstance(value, list) else value for value in parameters)
            return connection.exec_driver_sql(sql.replace("IN ??", "IN (SELECT value FROM json_each(?))"), bound).all()  # type: ignore[return-value]
        text = sql.replace("IN ??", "= ANY(%s)").replace("?", "%s")
        return connection.exec_driver_sql(text, tuple(parameters)).all()  # type: ignore[return-value]

    def _insert_sql(self, table: SqlTable, columns: Sequence[str]) -> str:
        mark = "?" if self.is_sqlite else "%s"
        return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"

    def _insert_arrays_sql(self, table: SqlTable, columns: Sequence[str]) -> str:
        return f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM unnest({self._arrays(table, columns)})"

    def _arrays(self, table: SqlTable, columns: Sequence[str]) -> str:
        return ", ".join(f"%b::{_type_name(self.engine, table.c[name])}[]" for name in columns)


def driver_connection(connection: Connection) -> Any:
    """The driver's own connection, for a library that writes in the same transaction."""
    return connection.connection.driver_connection


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, pool_size=10, max_overflow=20)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin where we say so, below
        for pragma in SQLITE_PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")

    return engine


def _lock_number(enterprise: str) -> int:
    return int.from_bytes(hashlib.blake2b(enterprise.encode(), digest_size=8, person=b"emr-sync").digest(), signed=True)


def _bound(connection: Connection, table: SqlTable, columns: Sequence[str], rows: Rows) -> Rows:
    """The rows as the driver takes them: column types that translate a value (UTC times) do so here."""
    processors = [_processor(connection, table.c[name]) for name in columns]
    touched = [(index, processor) for index, processor in enumerate(processors) if processor]
    if not touched:
        return list(rows)
    return [_processed(row, touched) for row in rows]


def _processed(row: tuple[Any, ...], touched: Sequence[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    values = list(row)
    for index, processor in touched:
        values[index] = processor(values[index])
    return tuple(values)


def _processor(connection: Connection, column: Column[Any]) -> Callable[[Any], Any] | None:
    if connection.dialect.name != "sqlite":
        return None  # psycopg takes aware datetimes as they are
    processor: Callable[[Any], Any] | None = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return processor


def _copy(connection: Connection, table: str, columns: Sequence[str], rows: Rows) -> None:
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    cursor.close()


def _by_column(rows: Rows) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))


def _type_name(engine: Engine, column: Column[Any]) -> str:
    return str(column.type.compile(engine.dialect))


def _json_list(values: list[Any]) -> str:
    return json.dumps(values)
