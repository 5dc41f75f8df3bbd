"""Databases on the PostgreSQL server of a test run.

Each test gets its own database, a copy of a template. Creating one costs the server a seventh of a second and a checkpoint, so a
returned database is emptied and lent again, under another name if the test left a connection open. The connection that empties it stays
open, because a new one costs the server more than the rest. A database whose schema, settings or initial rows a test changed is dropped.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, Self

import psycopg
from psycopg import Connection, sql

from tests.parked import PARKED, healthy

CATALOGUES = {
    "pg_class": "oid",
    "pg_attribute": "attrelid",
    "pg_attrdef": "adrelid",
    "pg_constraint": "oid",
    "pg_index": "indexrelid",
    "pg_trigger": "oid",
    "pg_proc": "oid",
    "pg_type": "oid",
    "pg_rewrite": "oid",
    "pg_policy": "oid",
    "pg_description": "objoid",
    "pg_namespace": "0",
    "pg_extension": "0",
}
"""What a schema is made of, each with the indexed column that tells our objects from the ten thousand of every database; 0 for all rows."""
OURS = 16384
# A schema change rewrites catalogue rows, so their count and their newest transaction change.
SCHEMA = " UNION ALL ".join(
    f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM {name} WHERE {column} {'>=' if column != '0' else '<'} {OURS}"
    for name, column in CATALOGUES.items()
)
SETTINGS = """SELECT datacl::text, (SELECT array_agg(setconfig::text) FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)
    FROM pg_database WHERE datname = current_database()"""
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
TABLES = "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
DRAWN = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence WHERE pg_sequence_last_value(seqrelid) IS NOT NULL"
SIZE = "SELECT pg_database_size(current_database())"  # looks at files; sizes of tables would cost opening each of them
LARGE = 8 * 1024 * 1024  # bytes: deleted rows stay in a table's file, and scanning them costs more than a new copy


class State(NamedTuple):
    """What must be unchanged in a returned database: schema, settings, and the tables with rows of the template."""

    schema: list[Any]
    settings: Any
    rows: dict[str, list[Any]]


class Lent(NamedTuple):
    """A database that can be lent to a test."""

    name: str
    state: State
    size: int
    connection: Connection | None = None


class Databases:
    """Copies of a template, as many as are in use at once. All are dropped at the end."""

    def __init__(self, server: str, prefix: str, template: str = "template1") -> None:
        self.server, self.prefix, self.template = server, prefix, template
        PARKED.close(template)  # only a database without connections is copied
        self.maintenance = psycopg.connect(server, autocommit=True)
        self.free: list[Lent] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for copy in self.free:
            self._drop(copy)
        self.maintenance.close()

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Lends a database to one test; gives its name."""
        copy = self.free.pop() if self.free else self._made()
        try:
            yield copy.name
        finally:
            copy = copy._replace(connection=self._connection(copy))
            if kept := self._restored(copy):
                self.free.append(kept)
            else:
                self._drop(copy)

    def url(self, name: str) -> str:
        """How SQLAlchemy connects to it."""
        parts = psycopg.conninfo.conninfo_to_dict(self.server)
        host, user, port = str(parts.get("host", "")), str(parts.get("user", "postgres")), parts.get("port")
        password = f":{parts['password']}" if parts.get("password") else ""
        where = f"@/{name}?host={host}" if host.startswith("/") else f"@{host}{f':{port}' if port else ''}/{name}"
        return f"postgresql+psycopg://{user}{password}{where}"

    def _new_name(self) -> str:
        return f"{self.prefix}_{uuid.uuid4().hex[:12]}"

    def _made(self) -> Lent:
        name = self._new_name()
        self._run("CREATE DATABASE {} TEMPLATE {}", name, self.template)
        with closing(self._connected(name)) as connection:
            return Lent(name, _state_of(connection), _size(connection))

    def _connection(self, copy: Lent) -> Connection:
        """A connection to the database: the one that is open, unless the test has cut it."""
        return copy.connection if copy.connection is not None and healthy(copy.connection) else self._connected(copy.name)

    def _restored(self, copy: Lent) -> Lent | None:
        """The database, as it was before the test. None if that is not possible."""
        assert copy.connection is not None
        left = copy.connection.execute(f"SELECT pg_terminate_backend(pid, 5000) {OTHERS} AND pid <> ALL(%s)", [PARKED.pids()]).fetchall()
        if not all(ended for (ended,) in left) or not _emptied(copy, copy.connection):
            return None
        return self._renamed(copy, copy.connection) if left else copy

    def _renamed(self, copy: Lent, connection: Connection) -> Lent | None:
        """The database under a new name, so that leftovers of a test cannot reach it. None if one of them has reconnected already."""
        connection.close()
        PARKED.close(copy.name)
        name = self._new_name()
        try:
            self._run("ALTER DATABASE {} RENAME TO {}", copy.name, name)
        except psycopg.errors.ObjectInUse:
            return None
        return copy._replace(name=name, connection=None)

    def _drop(self, copy: Lent) -> None:
        PARKED.close(copy.name)
        if copy.connection is not None:
            copy.connection.close()
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", copy.name)

    def _connected(self, name: str) -> Connection:
        return psycopg.connect(self.server, dbname=name, autocommit=True)

    def _run(self, statement: str, *names: str) -> None:
        self.maintenance.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _emptied(copy: Lent, connection: Connection) -> bool:
    """Deletes the rows of a test. False if that does not restore a copy of the template."""
    if _state_of(connection, copy.state.rows) != copy.state:
        return False
    try:
        connection.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
    except psycopg.errors.InsufficientPrivilege:
        return False
    _delete(connection, [name for name in _tables_with_rows(connection) if name not in copy.state.rows])
    return _size(connection) - copy.size < LARGE


def _state_of(connection: Connection, tables: Iterable[str] | None = None) -> State:
    """The state of a database. ``tables`` are those with rows of the template; in a new copy, all tables with rows."""
    rows = {name: _rows(connection, name) for name in (_tables_with_rows(connection) if tables is None else tables)}
    return State(connection.execute(SCHEMA).fetchall(), connection.execute(SETTINGS).fetchone(), rows)


def _size(connection: Connection) -> int:
    return int(connection.execute(SIZE).fetchall()[0][0])


def _rows(connection: Connection, table: str) -> list[Any]:
    return connection.execute(sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(table))).fetchall()


def _tables_with_rows(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute(f"SELECT relname {TABLES} AND pg_relation_size(oid) > 0")]


def _delete(connection: Connection, tables: list[str]) -> None:
    for name in tables:
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
    connection.execute(DRAWN)
