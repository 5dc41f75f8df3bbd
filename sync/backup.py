"""Backups: a copy of the database with a manifest beside it, and the check that a copy can be restored.

The manifest (``FILE.json``) has what was in the copy when it was made: revision of the schema, rows of each table, heads of the hash
chains, and the digest of the file. It is written last, so a copy with a manifest is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from store.audit.hash_chain import Head
from store.audit.verify import heads_of, verify
from store.db import backup, schema
from store.db.database import Database
from store.db.pg_programs import PgPrograms
from store.errors import BackupFailed
from store.runs.database_check import checked, payload_keys
from store.runs.encryption import Sealing
from store.runs.source_checks import Checked
from store.version import version
from sync.config.problems import UsageError
from sync.runtime import migrate

SUFFIX = {backup.SQLITE: "db", backup.POSTGRESQL: "dump"}
STORED = frozenset({"reachable", "integrity", "schema", "references"})
"""The checks of a database that concern what is stored, not the machine."""
BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """What a copy contained when it was made. ``program``: the version that made it; ``chains``: enterprise, chain, lines, last hash."""

    program: str
    taken: str
    kind: str
    schema: str
    rows: Mapping[str, int]
    chains: tuple[Head, ...]
    bytes: int
    sha256: str

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def beside(cls, copy: Path) -> BackupManifest | None:
        """The manifest of a copy; ``None`` if there is none. Raises :class:`BackupFailed` for one that cannot be read."""
        file = manifest_of(copy)
        if not file.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(file.read_text("utf-8"))
            rows = {str(name): int(count) for name, count in found.pop("rows").items()}
            return cls(**(found | {"rows": rows, "chains": tuple(Head(*one) for one in found["chains"])}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackupFailed(f"{file} is not the manifest of a backup; restore it, or make a new backup") from error


def manifest_of(copy: Path) -> Path:
    """The file with the manifest of a copy."""
    return copy.with_name(f"{copy.name}.json")


def back_up(database: Database, target: Path, programs: PgPrograms, now: datetime) -> tuple[Path, BackupManifest]:
    """Makes a backup while other processes write. ``target`` is a new file, or a folder in which the file is named after the time.

    Raises ``UsageError`` if the file exists or its folder does not, and ``BackupFailed``. A failed backup leaves no file.
    """
    schema.check(database)
    kind = backup.kind(database)
    file = target / f"emr-sync-{now:%Y%m%dT%H%M%SZ}.{SUFFIX[kind]}" if target.is_dir() else target
    if not file.parent.is_dir():
        raise UsageError(f"the folder {file.parent} does not exist; create it, readable by this user only")
    if file.exists() or manifest_of(file).exists():
        raise UsageError(f"{file} exists, and a backup is never overwritten; choose another name, or name a folder")
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with database.snapshot() as snapshot:
            rows, chains = backup.counts(database, snapshot), tuple(heads_of(database, snapshot))
            backup.write(database, snapshot, part, programs)
        _on_disk(part)
        found = BackupManifest(version(), now.isoformat(), kind, schema.head(), rows, chains, part.stat().st_size, digest(part))
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    _write(manifest_of(file), found.text())
    return file, found


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def verified(copy: Path, manifest: BackupManifest | None, scratch: str, programs: PgPrograms, sealing: Sealing | None) -> Iterator[Checked]:
    """Restores a copy into a scratch database and checks it. Yields each result, and raises what made it impossible to go on.

    A copy of an older schema is upgraded in the scratch database, which is also the rehearsal of an upgrade.
    """
    yield _file(copy, manifest)
    with backup.restored(copy, scratch, programs) as database:
        revision = schema.revision(database)
        if revision is None:
            raise BackupFailed("the backup contains no tables of emr-sync")
        yield Checked("restore", True, f"restored into a scratch database, schema {revision}")
        with database.snapshot() as snapshot:
            yield _rows(manifest, backup.counts(database, snapshot))
        if revision != schema.head() and revision in schema.revisions():
            migrate(database)
            yield Checked("upgrade", True, f"schema {revision} was upgraded to {schema.head()} in the scratch database")
        found = [*checked(database, STORED)]
        yield from found
        if all(one.ok for one in found):
            yield _chains(database, manifest)
            yield _keys(database, sealing)


def _file(copy: Path, manifest: BackupManifest | None) -> Checked:
    if manifest is None:
        return Checked("file", False, f"{manifest_of(copy)} is missing, so the file and its rows cannot be compared with the original")
    if copy.stat().st_size != manifest.bytes or digest(copy) != manifest.sha256:
        return Checked("file", False, "differs from the file that was written: it is damaged or was changed; use another backup")
    return Checked("file", True, f"{manifest.bytes} bytes as written on {manifest.taken} by emr-sync {manifest.program}")


def _rows(manifest: BackupManifest | None, found: Mapping[str, int]) -> Checked:
    total = sum(found.values())
    if manifest is None:
        return Checked("rows", True, f"{total} rows in {len(found)} tables, not compared")
    if found != dict(manifest.rows):
        wrong = sorted(name for name in {*found, *manifest.rows} if found.get(name) != manifest.rows.get(name))
        return Checked("rows", False, f"the row counts differ from the original: {', '.join(wrong)}")
    return Checked("rows", True, f"{total} rows in {len(found)} tables, as in the original")


def _chains(database: Database, manifest: BackupManifest | None) -> Checked:
    verdicts = verify(database, noted=manifest.chains if manifest else ())
    broken = [one for one in verdicts if one.broken_at is not None]
    if broken:
        detail = "; ".join(f"{one.head.enterprise} {one.head.chain}: {one.why} (line {one.broken_at})" for one in broken)
        return Checked("chains", False, detail)
    return Checked("chains", True, f"{len(verdicts)} hash chains, {sum(one.head.number for one in verdicts)} lines, intact")


def _keys(database: Database, sealing: Sealing | None) -> Checked:
    """Whether the kept payloads could be decrypted after a restore: their keys are not in the backup."""
    needed, missing, replaced = payload_keys(database, sealing)
    if missing:
        return Checked("keys", False, f"this configuration lacks the payload keys {', '.join(missing)}: restore them, too")
    if replaced:
        return Checked("keys", False, f"{', '.join(replaced)} in payload_keys cannot decrypt the stored payloads: restore the former key")
    return Checked(
        "keys", True, f"this configuration has the {len(needed)} keys of the kept payloads" if needed else "no payloads are kept"
    )


def _write(file: Path, content: str) -> None:
    with open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as stream:
        stream.write(content)
    _on_disk(file)


def _on_disk(file: Path) -> None:
    """Waits until the file and its name are on the disk."""
    for one in (file, file.parent):
        number = os.open(one, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
