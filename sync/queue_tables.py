"""The tables of the shared queue. The library brings them as SQL; the installed version is a comment on the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from procrastinate.schema import SchemaManager

from store.db.database import Database
from store.errors import SchemaOutdated

NEWER = "the queue tables are newer than this program; install the matching version"
STANDING = "SELECT obj_description(to_regclass('procrastinate_jobs'), 'pg_class')"


def migrate(database: Database) -> None:
    """Creates the tables, or upgrades them step by step. Safe to call from several processes: they take turns."""
    with database.write("schema", unbounded=True) as transaction:
        standing = _standing(database, transaction)
        for sql in [SchemaManager.get_schema()] if standing is None else _after(standing):
            transaction.exec_driver_sql(sql.replace("%", "%%"))
        transaction.exec_driver_sql(f"COMMENT ON TABLE procrastinate_jobs IS '{_newest()}'")


def check(database: Database) -> None:
    """Raises ``SchemaOutdated`` unless the tables are those that the library was written for."""
    with database.read() as connection:
        standing = _standing(database, connection)
    if standing != _newest():
        raise SchemaOutdated("the queue tables are missing or outdated; run emr-sync migrate")


def steps() -> list[Path]:
    """The library's upgrades, the oldest first."""
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))


def _standing(database: Database, connection: Any) -> str | None:
    """The last step that was done here; ``None`` before the first."""
    standing: str | None = database.select(connection, STANDING, [])[0][0]
    if standing is not None and standing > _newest():
        raise SchemaOutdated(NEWER)
    return standing


def _after(standing: str) -> list[str]:
    return [step.read_text("utf-8") for step in steps() if step.name > standing]


def _newest() -> str:
    return steps()[-1].name
