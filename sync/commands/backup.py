"""``backup`` and ``verify-backup``: a copy of the database, and the check that it can be restored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sync import payload_key
from sync.commands import configured, output
from sync.commands.output import AsJson
from sync.config import Settings, load_to_look
from sync.config.problems import UsageError

PgBin = Annotated[
    Path | None, typer.Option(help="The folder of pg_dump and pg_restore, if they are not on PATH.", exists=True, file_okay=False)
]
Scratch = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE", help="Where to restore it: a folder (SQLite; default: that of FILE), or the address of a server (PostgreSQL)."
    ),
]
NO_KEY = "The backup does not contain the keys of stored payloads: keep them elsewhere (docs/backup.md)."


def backup(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, or a folder: then the file is named after the time.")],
    verify: Annotated[bool, typer.Option("--verify", help="Verify it as `verify-backup` does.")] = False,
    scratch: Scratch = None,
    pg_bin: PgBin = None,
    as_json: AsJson = False,
) -> None:
    """Back up the database while the service runs, with a manifest beside it. PostgreSQL: by pg_dump."""
    from store.db.pg_programs import PgPrograms
    from sync.backup import back_up
    from sync.runtime import connected, utc_now

    settings = load_to_look(configured.file(context))
    database = connected(settings)
    try:
        file, made = back_up(database, target, PgPrograms(pg_bin), utc_now())
    finally:
        database.close()
    if not as_json:
        output.say(f"{file}: {made.bytes} bytes, {sum(made.rows.values())} rows, schema {made.schema}")
        output.note(NO_KEY)
    result = {"file": str(file), "bytes": made.bytes, "sha256": made.sha256, "schema": made.schema, "rows": dict(made.rows)}
    if verify:
        _verify(settings, file, scratch, pg_bin, as_json, result)
    elif as_json:
        output.emit(result)


def verify_backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file from `emr-sync backup`.", exists=True, dir_okay=False)],
    scratch: Scratch = None,
    pg_bin: PgBin = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into a scratch database and check it: file, schema, rows, hash chains, keys. The database in use is not touched."""
    _verify(load_to_look(configured.file(context)), file, scratch, pg_bin, as_json, {})


def _verify(settings: Settings, file: Path, scratch: str | None, pg_bin: Path | None, as_json: bool, result: dict[str, Any]) -> None:
    from store.db.pg_programs import PgPrograms
    from sync.backup import BackupManifest, verified

    where = _where(settings, file, scratch)
    findings = verified(file, BackupManifest.beside(file), where, PgPrograms(pg_bin), payload_key.existing(settings))
    found = []
    for one in findings:
        found.append(one)
        if not as_json:
            output.say(f"{'ok  ' if one.ok else 'FAIL'}  {one.what}: {one.detail}")
    ok = all(one.ok for one in found)
    if as_json:
        output.emit(result | {"ok": ok, "findings": [{"what": one.what, "ok": one.ok, "detail": one.detail} for one in found]})
    if not ok:
        raise typer.Exit(1)


def _where(settings: Settings, file: Path, scratch: str | None) -> str:
    """Where the scratch database is created: as named, else in the folder of the backup, or on the configured server."""
    from store.db.backup import SQLITE, kind_of

    if kind_of(file) == SQLITE:
        if scratch is not None and not Path(scratch).is_dir():
            raise UsageError("--scratch: this is a backup of SQLite; name an existing folder")
        return scratch or str(file.parent)
    where = scratch or settings.database
    if not where.startswith("postgresql+psycopg://"):
        raise UsageError("this is a backup of PostgreSQL; name a server with --scratch postgresql+psycopg://USER@HOST/NAME")
    return where
