"""The schema's version: bring a database to it, or say that it is not there. Alembic does the work (``store/migrations``).

What only compares versions does without Alembic, which takes longer to import than most commands take to run.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Connection

from store.database import Database
from store.errors import SchemaOutdated

MIGRATIONS = Path(__file__).parent / "migrations"
REVISION = re.compile(r'^(down_)?revision = "(\w+)"', re.MULTILINE)
VERSIONS = "alembic_version"


def migrate(database: Database) -> None:
    """Creates or upgrades the schema. Safe to call from several processes: they take turns.

    Raises ``Unavailable`` for an SQLite file that is empty and was not.
    """
    with database.read() as connection:
        current = _current(connection)
    if current is None and database.file is not None:
        database.file.check_lost()
    if current == head():
        return
    from alembic import command
    from alembic.config import Config

    with database.write("schema", unbounded=True) as transaction:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = transaction
        command.upgrade(config, "head")


def check(database: Database) -> None:
    """Raises :class:`SchemaOutdated` unless the schema is the one this program was written for."""
    with database.read() as connection:
        current = _current(connection)
    if current != head():
        raise SchemaOutdated("the database is empty: run emr-sync migrate" if current is None else _mismatch(current))


def keep_mark(database: Database) -> None:
    """Writes down beside an SQLite file that it holds a schema, so that it is missed when it is gone."""
    if database.file is not None:
        database.file.keep_mark()


def is_empty(database: Database) -> bool:
    """Whether no schema was ever created here."""
    with database.read() as connection:
        return _current(connection) is None


@cache
def head() -> str:
    """The newest revision: the one that no other follows."""
    found = [match.groups() for file in MIGRATIONS.glob("versions/*.py") for match in REVISION.finditer(file.read_text("utf-8"))]
    followed = {revision for down, revision in found if down}
    (newest,) = (revision for down, revision in found if not down and revision not in followed)
    return newest


def _mismatch(current: str) -> str:
    return f"the database has schema {current}, which is not this program's: run emr-sync migrate, or the program that matches it"


def _current(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, VERSIONS):
        return None
    found: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {VERSIONS}").scalar()
    return found
