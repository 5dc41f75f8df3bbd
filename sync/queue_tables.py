"""The tables of the shared queue. The library provides their SQL; the installed version is a comment on the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from procrastinate.schema import SchemaManager

from store.db.database import Database
from store.errors import SchemaOutdated

NEWER = "the queue tables are newer than this program; install the matching version"
INSTALLED = "SELECT obj_description(to_regclass('procrastinate_jobs'), 'pg_class')"


def migrate(database: Database) -> None:
    """Creates the tables, or upgrades them step by step. Safe to call from several processes: they take turns."""
    with database.write("schema", unbounded=True) as transaction:
        installed = _installed(database, transaction)
        for sql in [SchemaManager.get_schema()] if installed is None else _steps_after(installed):
            transaction.exec_driver_sql(sql.replace("%", "%%"))
        transaction.exec_driver_sql(f"COMMENT ON TABLE procrastinate_jobs IS '{_newest()}'")


def check(database: Database) -> None:
    """Raises ``SchemaOutdated`` unless the tables have the library's version."""
    with database.read() as connection:
        installed = _installed(database, connection)
    if installed != _newest():
        raise SchemaOutdated("the queue tables are missing or outdated; run emr-sync migrate")


def steps() -> list[Path]:
    """The library's upgrade steps, oldest first."""
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


def _installed(database: Database, connection: Any) -> str | None:
    """The last step installed; ``None`` before the first."""
    installed: str | None = database.select(connection, INSTALLED, [])[0][0]
    if installed is not None and installed > _newest():
        raise SchemaOutdated(NEWER)
    return installed


def _steps_after(installed: str) -> list[str]:
    return [step.read_text("utf-8") for step in steps() if step.name > installed]


def _newest() -> str:
    return steps()[-1].name
