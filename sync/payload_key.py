"""The keys that encrypt kept payloads: those of the configuration, or a key file beside an SQLite database.

With PostgreSQL there is no place of our own to keep a key apart from the data, so without ``payload_keys`` no payload is kept.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from store.runs.encryption import Sealing, new_key, read_key
from sync.config import Settings
from sync.config.problems import UsageError

SQLITE = "sqlite:///"


def sealing(settings: Settings) -> Sealing | None:
    """The keys; ``None`` if payloads are not kept. Raises ``UsageError`` for a key file that cannot be read or created."""
    if settings.sealing is not None or not settings.database.startswith(SQLITE):
        return settings.sealing
    file = _file(settings)
    try:
        if not file.exists():
            _create(file)
        key = read_key(file.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the key file {file} cannot be used ({type(error).__name__}); restore it, or configure payload_keys") from error
    name = f"file-{hashlib.sha256(key).hexdigest()[:8]}"
    return Sealing(name, {name: key})


def existing(settings: Settings) -> Sealing | None:
    """The keys; ``None`` if there are none yet. Creates no key file."""
    return sealing(settings) if settings.sealing is not None or _file(settings).exists() else None


def _file(settings: Settings) -> Path:
    """The key file beside an SQLite database."""
    return Path(f"{settings.database.removeprefix(SQLITE)}.key")


def _create(file: Path) -> None:
    """Creates the file atomically, readable by its owner only. If two processes do this, the first file counts."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(new_key() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)
