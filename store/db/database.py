"""Engine, transactions and bulk writes. The only file that asks which database it is.

A write transaction is the only writer of its enterprise until it ends (with SQLite: of the file). So repositories can read, decide and
write without a race, two sources and staff never undo each other, and the numbers of the change feed appear in order.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from store.db import clock_skew, outage, sql
from store.db.limits import LIMITS, POOL, DatabaseLimits
from store.db.outage import BUSY, WAITED, Unavailable
from store.db.recent_failures import RecentFailures
from store.db.sql import Rows, SqlStatement
from store.db.sqlite_file import SqliteFile

LOCK = "SELECT pg_advisory_xact_lock(?), clock_timestamp()"
CLOCK = "SELECT clock_timestamp()"
NO_LIMITS = """SELECT set_config(name, '0', true)
               FROM unnest(ARRAY['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout']) AS name"""
FROZEN = """SELECT pg_terminate_backend(held.pid) FROM pg_locks held JOIN pg_stat_activity peer ON peer.pid = held.pid
            WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1 AND peer.datname = current_database()
              AND (held.classid::bigint << 32 | held.objid::bigint) = ? AND peer.wait_event = 'ClientRead'
              AND peer.query_start < clock_timestamp() - ? * interval '1 second'"""
"""Ends a session that holds the lock and has stopped sending inside a COPY or a pipeline, where no PostgreSQL timeout applies."""
LOCK_NOT_AVAILABLE = "55P03"
log = logging.getLogger("emr_sync")
COPY_FROM = 64  # number of rows at which COPY makes up for its extra round trips


def utc_now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class Database:
    """One database. Only bulk writes and list parameters differ between SQLite and PostgreSQL."""

    def __init__(
        self,
        engine: Engine,
        limits: DatabaseLimits = LIMITS,
        driver_arguments: Mapping[str, Any] | None = None,
        file: SqliteFile | None = None,
    ) -> None:
        self.engine, self.limits, self._driver_arguments, self.file = engine, limits, dict(driver_arguments or {}), file
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.clock: Callable[[], datetime] = utc_now
        self.skew = clock_skew.NONE
        self.failures = RecentFailures("database")
        self._listed: Callable[[list[Any]], str] = sql.in_json if self.is_sqlite else sql.listed
        self._errors: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._one_writer = threading.Lock()
        # Reads need no transaction: each statement sees what is committed, and PostgreSQL is asked once, not three times.
        self._reads = engine if self.is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def open(cls, url: str, limits: DatabaseLimits = LIMITS) -> Database:
        """Opens ``sqlite:///path`` or ``postgresql+psycopg://…``; connects on first use. ``ValueError`` for another kind."""
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError("an in-memory SQLite database cannot be shared between roles: use a file")
            file = SqliteFile(parsed.database)
            return cls(file.engine(url, limits), limits, file=file)
        if parsed.drivername == "postgresql+psycopg":
            arguments = limits.in_postgresql(parsed.query)
            return cls(create_engine(url, **POOL, pool_timeout=limits.lock, connect_args=arguments), limits, arguments)
        raise ValueError("database must be sqlite:///… or postgresql+psycopg://…")

    def close(self) -> None:
        """Closes every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Closes all connections when the block raises: while the database is being prepared, nobody else can close it."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with. Each statement sees what is committed."""
        with self._counted():
            self.check_file()
            with self.connection_to_read() as connection:
                yield connection

    def connection_to_read(self) -> Connection:
        """A connection from the pool. The caller closes it."""
        return self._reads.connect()

    @contextmanager
    def write(self, enterprise: str, *, unbounded: bool = False) -> Iterator[Connection]:
        """A transaction as the only writer of the enterprise. Commits at the end of the block, rolls back when it raises.

        Raises when another writer holds the lock for longer than ``limits`` allow. ``unbounded`` waits as long as necessary, for changes
        of the schema.
        """
        began = time.monotonic()
        if self.is_sqlite:
            options = {"immediate": True, "unbounded": unbounded}
            with (
                self._counted(),
                self._only_thread(unbounded),
                self.engine.connect().execution_options(**options) as connection,
                connection.begin(),
            ):
                self._note_wait(began)
                yield connection
                self.check_file()
            return
        with self._counted(), self.engine.begin() as connection:
            if unbounded:
                self.select(connection, NO_LIMITS, [])
            self._lock(connection, _lock_number(enterprise))
            self._note_wait(began)
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that sees the database as of one moment, for as long as the block takes. For reading only."""
        options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._counted(), self.engine.execution_options(**options).begin() as connection:
            if not self.is_sqlite:
                self.select(connection, NO_LIMITS, [])
            yield connection
            self.check_file()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Whatever uses the database passes here, so a failure that nobody looks at in time is known all the same."""
        try:
            yield
        except Exception as error:
            self.count_failure(error)
            raise

    def count_failure(self, error: BaseException) -> None:
        """Counts a failure of the database or its disk; any other error is none."""
        if reason := outage.explanation(error):
            self.failures.add(reason)

    def _note_wait(self, began: float) -> None:
        """A peer that stood still may be over before anything fails."""
        if time.monotonic() - began >= self.limits.slow:
            self.failures.add(WAITED)

    def check_file(self) -> None:
        """Raises ``Unavailable`` when the file is gone, so that nothing is read from or committed to a deleted file."""
        if self.file is not None:
            self.file.check()

    @contextmanager
    def _only_thread(self, unbounded: bool) -> Iterator[None]:
        """Lets one thread of this process write at a time. SQLite's own waiting is then only for other processes."""
        if not self._one_writer.acquire(timeout=-1 if unbounded else self.limits.lock):
            raise Unavailable(BUSY)
        try:
            yield
        finally:
            self._one_writer.release()

    def compare_clocks(self) -> timedelta:
        """Measures how much our clock is ahead of the database's and keeps it in ``skew``. Every write measures it again."""
        if not self.is_sqlite:  # SQLite uses our clock
            with self.read() as connection:
                before = self.clock()
                self._measure_skew(before, self.select(connection, CLOCK, []))
        return self.skew

    def _measure_skew(self, before: datetime, rows: list[tuple[Any, ...]]) -> None:
        self.skew = clock_skew.skew(before, rows[0][-1], self.clock())

    def _lock(self, connection: Connection, number: int) -> None:
        before = self.clock()
        try:
            self._measure_skew(before, self.select(connection, LOCK, [number]))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                self._end_frozen(number)
            raise

    def _end_frozen(self, number: int) -> None:
        """Ends the session that froze with the lock, so that the next caller gets it. Without that permission only an administrator can."""
        with suppress(DBAPIError), self.read() as connection:
            if self.select(connection, FROZEN, [number, min(self.limits.idle, self.limits.lock)]):
                log.warning("ended a database session that was stuck in a transaction")

    def bound(self, at: datetime) -> Any:
        """A time, as a parameter of hand-written SQL."""
        return at.astimezone(UTC).isoformat() if self.is_sqlite else at

    def driver_arguments(self) -> dict[str, Any]:
        """The driver's connection arguments, for a library that opens its own connections to this database."""
        return dict(self.engine.dialect.create_connect_args(self.engine.url)[1]) | self._driver_arguments

    def lock_also(self, connection: Connection, name: str) -> None:
        """Takes another lock until the write transaction ends. Does nothing for SQLite, which has only one writer."""
        if not self.is_sqlite:
            self.select(connection, LOCK, [_lock_number(name)])

    def insert(self, connection: Connection, table: Any, columns: Sequence[str], rows: Rows) -> None:
        """Adds rows that do not exist. ``rows`` are tuples in the order of ``columns``."""
        if len(rows) >= COPY_FROM and not self.is_sqlite and not _in_pipeline(connection):
            self._copy(connection, table.__table__.name, columns, rows)
        elif rows:
            self._write(connection, sql.insert(table, tuple(columns), sqlite=self.is_sqlite), rows)

    def upsert(self, connection: Connection, table: Any, columns: Sequence[str], rows: Rows) -> None:
        """Adds rows, or replaces those with the same primary key. A key must not occur twice in ``rows``."""
        if rows:
            self._write(connection, sql.insert(table, tuple(columns), sqlite=self.is_sqlite, replacing=True), rows)

    def update(self, connection: Connection, table: Any, keys: Sequence[str], columns: Sequence[str], rows: Rows) -> None:
        """Sets ``columns`` where ``keys`` match; rows are tuples of the columns first, the keys last."""
        if rows:
            self._write(connection, sql.update(table, tuple(keys), tuple(columns), sqlite=self.is_sqlite), rows)

    def delete(self, connection: Connection, table: Any, keys: Sequence[str], rows: Rows) -> None:
        """Removes the rows that match each tuple of ``keys``."""
        if rows:
            self._write(connection, sql.delete(table, tuple(keys), sqlite=self.is_sqlite), rows)

    def one_text(self, table: Any, columns: Sequence[str], added: Sequence[str] = ()) -> str:
        """SQL that joins a row's columns into one text. The text is the same as long as the row is unchanged.

        Columns of text that were ``added`` later are part of it only where they have a value.
        """
        return sql.one_text(table, tuple(columns), sqlite=self.is_sqlite) + sql.added_text(tuple(added), sqlite=self.is_sqlite)

    def select(self, connection: Connection, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a hand-written query, straight from the driver. ``?`` binds one value, ``IN ??`` a list of text or numbers."""
        single = tuple([sql.is_single(value) for value in parameters if isinstance(value, list)])
        text = sql.select(query, single, sqlite=self.is_sqlite)
        bound = [self._bound_list(value) if isinstance(value, list) else value for value in parameters]
        cursor = self._cursor(connection, text, bound)
        try:
            found: list[tuple[Any, ...]] = cursor.execute(text, bound).fetchall()
        except self._errors as error:
            raise self._translated(connection, error) from error
        return found

    def _bound_list(self, values: list[Any]) -> Any:
        return values[0] if sql.is_single(values) else self._listed(values)

    @contextmanager
    def together(self, connection: Connection, rows: int) -> Iterator[None]:
        """Sends the statements of the block to PostgreSQL as one pipeline, without waiting for each answer. For few rows.

        Many rows are faster with COPY, which cannot be part of a pipeline. SQLite runs in this process, so there is nothing to send.
        """
        if self.is_sqlite or rows >= COPY_FROM:
            yield
            return
        try:
            with _driver(connection).pipeline():
                yield
        except self._errors as error:
            raise self._translated(connection, error) from error

    def _write(self, connection: Connection, statement: SqlStatement, rows: Rows) -> None:
        prepared = statement.prepared(rows)
        cursor = self._cursor(connection, statement.sql, prepared)
        try:
            (cursor.executemany if statement.many else cursor.execute)(statement.sql, prepared)
        except self._errors as error:
            raise self._translated(connection, error) from error

    def _copy(self, connection: Connection, table: str, columns: Sequence[str], rows: Rows) -> None:
        query = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        try:
            with self._cursor(connection, query, rows).copy(query) as copy:
                for row in rows:
                    copy.write_row(row)
        except self._errors as error:
            raise self._translated(connection, error) from error

    def _cursor(self, connection: Connection, query: str, parameters: Any) -> Any:
        """A cursor of the driver. SQLAlchemy takes longer for a small statement than the database, so only its listeners are called."""
        driver = _driver(connection)
        cursor = driver.cursor() if self.is_sqlite else driver.cursor(binary=True)
        if self.engine.dispatch.before_cursor_execute:
            for listener in self.engine.dispatch.before_cursor_execute:
                listener(connection, cursor, query, parameters, None, False)
        return cursor

    def _translated(self, connection: Connection, error: Any) -> Exception:
        """The SQLAlchemy error for a driver's error, without parameters. When the connection was lost, the pool replaces the others."""
        dialect = self.engine.dialect
        if dialect.is_disconnect(error, _driver(connection), None):
            # As SQLAlchemy does itself: connections in use stay in the pool, and are closed when they are next taken from it.
            self.engine.pool._invalidate(connection.connection, error, _checkin=False)
            connection.invalidate(error)
        translated: Exception = DBAPIError.instance("", None, error, self._errors, dialect=dialect)
        return translated


def driver_connection(connection: Connection) -> Any:
    """The driver's own connection, for a library that writes in the same transaction."""
    return connection.connection.driver_connection


def _lock_number(enterprise: str) -> int:
    return int.from_bytes(hashlib.blake2b(enterprise.encode(), digest_size=8, person=b"emr-sync").digest(), signed=True)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _in_pipeline(connection: Connection) -> bool:
    return bool(_driver(connection).pgconn.pipeline_status)
