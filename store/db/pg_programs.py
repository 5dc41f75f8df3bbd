"""pg_dump and pg_restore, the programs of PostgreSQL that copy a database. They must not be older than the server.

The password is passed in the environment, since others on the machine can read a program's arguments. What pg_restore reports is never
repeated: it may quote rows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from psycopg.conninfo import make_conninfo

from store.db.database import Database
from store.errors import BackupFailed

MISSING = "{name} was not found: install the client programs of PostgreSQL {major}, or name their folder with --pg-bin"
TOO_OLD = (
    "{name} is from PostgreSQL {own}, but the server is PostgreSQL {major}: "
    "install the client programs of {major}, or name their folder with --pg-bin"
)
RESTORE_FAILED = "pg_restore ended with {code}: the file is incomplete or damaged, or from a newer PostgreSQL than the server's"
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
OF_SQLALCHEMY = frozenset({"context", "password"})


class PgPrograms(NamedTuple):
    """Where the programs are: a folder, or, if it is ``None``, somewhere on ``PATH``."""

    folder: Path | None = None

    def dump(self, database: Database, snapshot: str, target: Path) -> None:
        """Writes the archive of a database as of an exported snapshot. Raises :class:`BackupFailed`."""
        arguments = ["--format=custom", "--no-password", f"--snapshot={snapshot}", f"--file={target}"]
        done = self._run("pg_dump", database, arguments)
        if done.returncode:
            first = (done.stderr.decode("utf-8", "replace").strip() or "no message").splitlines()[0]
            raise BackupFailed(f"pg_dump ended with {done.returncode}: {first.removeprefix('pg_dump: error: ')}")

    def restore(self, database: Database, copy: Path) -> None:
        """Restores an archive into an empty database. Raises :class:`BackupFailed`."""
        arguments = ["--exit-on-error", "--no-owner", "--no-privileges", "--no-password", str(copy)]
        done = self._run("pg_restore", database, arguments)
        if done.returncode:
            raise BackupFailed(RESTORE_FAILED.format(code=done.returncode))

    def _run(self, name: str, database: Database, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        given = database.driver_arguments()
        where = make_conninfo(**{key: value for key, value in given.items() if key not in OF_SQLALCHEMY})
        secret = {"PGPASSWORD": str(given["password"])} if given.get("password") else {}
        command = [self._found(name, database), f"--dbname={where}", *arguments]
        return subprocess.run(
            command, env={**os.environ, **secret, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )

    def _found(self, name: str, database: Database) -> str:
        """The program's path. Raises :class:`BackupFailed` if it is missing or too old for the server."""
        with database.read() as connection:
            major = int(database.select(connection, "SHOW server_version_num", [])[0][0]) // 10_000
        path = shutil.which(name, path=None if self.folder is None else str(self.folder))
        if path is None:
            raise BackupFailed(MISSING.format(name=name, major=major))
        stated = VERSION.search(subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout)
        if stated is None or int(stated[1]) < major:
            raise BackupFailed(TOO_OLD.format(name=name, own=stated[1] if stated else "an unknown version", major=major))
        return path
