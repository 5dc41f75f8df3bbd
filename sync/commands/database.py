"""``migrate`` and ``check-database``: the database itself."""

from __future__ import annotations

import typer

from sync.commands import configured, output
from sync.commands.output import AsJson
from sync.config import load_to_look


def migrate(context: typer.Context, as_json: AsJson = False) -> None:
    """Create or upgrade the database schema."""
    from store.db import schema
    from sync import runtime

    database = runtime.connected(load_to_look(configured.file(context)))
    try:
        runtime.migrate(database)
        schema.check(database)
        schema.keep_mark(database)
    finally:
        database.close()
    if as_json:
        output.emit({"status": "done"})
    else:
        output.say("schema is up to date")


def check_database(context: typer.Context, as_json: AsJson = False) -> None:
    """Check the database: connection, integrity (SQLite), schema version, rights, privacy, clock (PostgreSQL). Changes nothing."""
    from store.runs.database_check import checked
    from sync.runtime import connected

    found, database = [], connected(load_to_look(configured.file(context)))
    try:
        for one in checked(database):
            found.append(one)
            if not as_json:
                output.say(f"{'ok  ' if one.ok else 'FAIL'}  {one.what}: {one.detail}")
    finally:
        database.close()
    ok = all(one.ok for one in found)
    if as_json:
        output.emit({"ok": ok, "findings": [{"what": one.what, "ok": one.ok, "detail": one.detail} for one in found]})
    if not ok:
        raise typer.Exit(1)
