"""``backup`` and ``verify-backup``: a copy of the database, and the check that it can be restored."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sync import payload_key
from sync.commands import configured, output
from sync.commands.output import AsJson
from sync.config import Settings, load_to_look
from sync.config.problems import UsageError

PgBin = Annotated[
    Path | None, typer.Option(help="The folder of pg_dump and pg_restore, if they are not on PATH.", exists=True, file_okay=False)
]
NO_KEY = "The keys of kept payloads are not in it: keep them in another place (docs/backup.md)."


def backup(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, or a folder: then the file is named after the time.")],
    pg_bin: PgBin = None,
    as_json: AsJson = False,
) -> None:
    """Back up the database while the service runs, with a manifest beside it. PostgreSQL: by pg_dump."""
    from store.db.pg_programs import PgPrograms
    from sync.backup import back_up
    from sync.runtime import connected, utc_now

    database = connected(load_to_look(configured.file(context)))
    try:
        file, found = back_up(database, target, PgPrograms(pg_bin), utc_now())
    finally:
        database.close()
    if as_json:
        output.emit({"file": str(file), "bytes": found.bytes, "sha256": found.sha256, "schema": found.schema, "rows": dict(found.rows)})
    else:
        output.say(f"{file}: {found.bytes} bytes, {sum(found.rows.values())} rows, schema {found.schema}")
        output.note(NO_KEY)


def verify_backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file from `emr-sync backup`.", exists=True, dir_okay=False)],
    scratch: Annotated[
        str | None,
        typer.Option(metavar="WHERE", help="Where to restore it: a folder (SQLite), or the address of a server (PostgreSQL)."),
    ] = None,
    pg_bin: PgBin = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into a scratch database and check it: file, schema, rows, hash chains, keys. The database in use is not touched."""
    from store.db.pg_programs import PgPrograms
    from sync.backup import Manifest, verified

    settings = load_to_look(configured.file(context))
    where = _where(settings, file, scratch)
    findings = verified(file, Manifest.beside(file), where, PgPrograms(pg_bin), payload_key.existing(settings))
    found = []
    for one in findings:
        found.append(one)
        if not as_json:
            output.say(f"{'ok  ' if one.ok else 'FAIL'}  {one.what}: {one.detail}")
    ok = all(one.ok for one in found)
    if as_json:
        output.emit({"ok": ok, "findings": [{"what": one.what, "ok": one.ok, "detail": one.detail} for one in found]})
    if not ok:
        raise typer.Exit(1)


def _where(settings: Settings, file: Path, scratch: str | None) -> str:
    """Where the scratch database is created: as named, else in the folder for temporary files, or on the configured server."""
    from store.db.backup import SQLITE, kind_of

    if kind_of(file) == SQLITE:
        if scratch is not None and not Path(scratch).is_dir():
            raise UsageError("--scratch: this is a backup of SQLite; name an existing folder")
        return scratch or tempfile.gettempdir()
    where = scratch or settings.database
    if not where.startswith("postgresql+psycopg://"):
        raise UsageError("this is a backup of PostgreSQL; name a server with --scratch postgresql+psycopg://USER@HOST/NAME")
    return where
