"""Copies of the database, and scratch databases that a copy is restored into.

SQLite copies its file page by page while others write (sqlite.org/backup.html). PostgreSQL's own pg_dump and pg_restore do it there
(``store.db.pg_programs``). Either way the copy is the database as of the moment of the caller's snapshot, so that what was counted in the
snapshot is what the copy contains.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from store.db import outage
from store.db.database import Database, driver_connection
from store.db.pg_programs import PgPrograms
from store.errors import BackupFailed

SQLITE, POSTGRESQL = "sqlite", "postgresql"
MAGIC = {b"SQLite format 3\0": SQLITE, b"PGDMP": POSTGRESQL}
TABLES = {
    SQLITE: "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite?_%' ESCAPE '?' ORDER BY name",
    POSTGRESQL: "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY table_name",
}
CREATE = "CREATE DATABASE {name} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
"""Whatever encoding and locale the server has: any locale may not go with UTF-8, this one does."""
MAY_NOT_CREATE = (
    "this user may not create a scratch database: grant it CREATEDB, or name a server where it may with --scratch postgresql+psycopg://…"
)


def kind(database: Database) -> str:
    """``sqlite`` or ``postgresql``."""
    return SQLITE if database.is_sqlite else POSTGRESQL


def kind_of(copy: Path) -> str:
    """Of which kind of database a file is a copy. Raises :class:`BackupFailed` for any other file."""
    with copy.open("rb") as stream:
        start = stream.read(16)
    found = next((name for magic, name in MAGIC.items() if start.startswith(magic)), None)
    if found is None:
        raise BackupFailed("the file is neither a copy of an SQLite database nor an archive of pg_dump")
    return found


def counts(database: Database, connection: Connection) -> Mapping[str, int]:
    """Table -> the number of its rows, as the connection sees them."""
    tables = [row[0] for row in connection.execute(text(TABLES[kind(database)]))]
    return {name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in tables}


def write(database: Database, snapshot: Connection, target: Path, programs: PgPrograms) -> None:
    """Writes a copy as of the snapshot. ``target`` must not exist; only its owner may read it."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if not database.is_sqlite:
        name = snapshot.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        programs.dump(database, str(name), target)
        return
    with closing(sqlite3.connect(target)) as copy:
        driver_connection(snapshot).backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without the two beside it that the running database has


@contextmanager
def restored(copy: Path, scratch: str, programs: PgPrograms) -> Iterator[Database]:
    """A scratch database with the content of a copy, removed at the end of the block. The copy is only read.

    ``scratch``: a folder for SQLite, the address of a server for PostgreSQL.
    """
    with _sqlite(copy, scratch) if kind_of(copy) == SQLITE else _postgresql(copy, scratch, programs) as database:
        yield database


@contextmanager
def _sqlite(copy: Path, folder: str) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="emr-sync-verify-", dir=folder) as own:
        file = Path(own) / "scratch.db"
        shutil.copyfile(copy, file)
        database = Database.open(f"sqlite:///{file}")
        with closing(database):
            yield database


@contextmanager
def _postgresql(copy: Path, server: str, programs: PgPrograms) -> Iterator[Database]:
    name = f"emr_sync_verify_{uuid4().hex[:12]}"
    with closing(Database.open(server)) as maintenance:
        _administer(maintenance, CREATE.format(name=name))
        try:
            url = maintenance.engine.url.set(database=name).render_as_string(hide_password=False)
            with closing(Database.open(url)) as database:
                programs.restore(database, copy)
                yield database
        finally:
            with suppress(DBAPIError):
                _administer(maintenance, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _administer(maintenance: Database, statement: str) -> None:
    try:
        with maintenance.read() as connection:  # without a transaction: PostgreSQL creates and drops databases only outside of one
            connection.execute(text(statement))
    except DBAPIError as error:
        if outage.explanation(error) == outage.DENIED:
            raise BackupFailed(MAY_NOT_CREATE) from error
        raise
