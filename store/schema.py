"""The schema's version: bring a database to it, or say that it is not there. Alembic does the work (``store/migrations``)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from store.database import Database
from store.errors import SchemaOutdated

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Creates or upgrades the schema. Safe to call from several processes: they take turns."""
    with database.write("schema") as transaction:
        config = _config()
        config.attributes["connection"] = transaction
        command.upgrade(config, "head")


def check(database: Database) -> None:
    """Raises :class:`SchemaOutdated` unless the schema is the one this program was written for."""
    with database.read() as connection:
        current, head = _current(connection), ScriptDirectory.from_config(_config()).get_current_head()
    if current != head:
        raise SchemaOutdated("the database is empty: run emr-sync migrate" if current is None else _mismatch(current))


def is_empty(database: Database) -> bool:
    """Whether no schema was ever created here."""
    with database.read() as connection:
        return _current(connection) is None


def _mismatch(current: str) -> str:
    return f"the database has schema {current}, which is not this program's: run emr-sync migrate, or the program that matches it"


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
