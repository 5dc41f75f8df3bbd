"""The schema's version: upgrade a database to it, or check that it has it. Alembic runs the migrations (``store/db/migrations``).

Checks compare versions without Alembic, which takes longer to import than most commands take to run.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from store.db.database import Database
from store.db.tables import SchemaProgramRow
from store.errors import SchemaNewer, SchemaOutdated
from store.version import version

MIGRATIONS = Path(__file__).parent / "migrations"
REVISION = re.compile(r'^(down_)?revision = "(\w+)"', re.MULTILINE)
VERSIONS = "alembic_version"
OLDER = "the database has schema {current}, which is older than this program: run emr-sync migrate"
NEWER = "the database has schema {current}, which is newer than this program: install {program} or a later one"


def migrate(database: Database) -> None:
    """Creates or upgrades the schema. Safe to call from several processes: they take turns.

    Raises ``Unavailable`` for an SQLite file that is empty and once was not.
    """
    current = revision(database)
    if current is None and database.file is not None:
        database.file.check_lost()
    if current == head():
        return
    _check_known(database, current)
    from alembic import command
    from alembic.config import Config

    with database.write("schema", unbounded=True) as transaction:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = transaction
        command.upgrade(config, "head")
        row = (head(), version(), datetime.now(UTC))
        database.upsert(transaction, SchemaProgramRow, ("revision", "program", "at"), [row])


def check(database: Database) -> None:
    """Raises :class:`SchemaOutdated` unless the schema is the one this program was written for."""
    current = revision(database)
    if current != head():
        _check_known(database, current)
        raise SchemaOutdated("the database is empty: run emr-sync migrate" if current is None else OLDER.format(current=current))


def keep_mark(database: Database) -> None:
    """Marks beside an SQLite file that it has a schema, so that its loss is noticed."""
    if database.file is not None:
        database.file.keep_mark()


def is_empty(database: Database) -> bool:
    """Whether no schema was ever created here."""
    return revision(database) is None


def revision(database: Database) -> str | None:
    """The schema's revision; ``None`` if no schema was ever created here."""
    with database.read() as connection:
        return _current(connection)


def revisions() -> frozenset[str]:
    """The revisions that this program knows."""
    return frozenset(revision for down, revision in _revision_lines() if not down)


@cache
def _revision_lines() -> list[tuple[str | None, str]]:
    """The revisions in the files: (``None``, revision), or (``down_``, revision) for one that another revision follows."""
    files = sorted(MIGRATIONS.glob("versions/*.py"))
    return [(match[1], match[2]) for file in files for match in REVISION.finditer(file.read_text("utf-8"))]


def head() -> str:
    """The newest revision, which no other follows."""
    found = _revision_lines()
    followed = {revision for down, revision in found if down}
    (newest,) = (revision for down, revision in found if not down and revision not in followed)
    return newest


def _check_known(database: Database, current: str | None) -> None:
    """Raises :class:`SchemaNewer` for a revision that only a later program knows."""
    if current is None or current in revisions():
        return
    program = ""
    with suppress(DBAPIError), database.read() as connection:
        rows = database.select(connection, "SELECT program FROM schema_programs WHERE revision = ?", [current])
        program = rows[0][0] if rows else ""
    raise SchemaNewer(NEWER.format(current=current, program=f"emr-sync {program}" if program else "the version that upgraded it"))


def _current(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, VERSIONS):
        return None
    found: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {VERSIONS}").scalar()
    return found
