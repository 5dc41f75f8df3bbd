"""The keys that kept payloads are sealed with: those of the configuration, else a key file beside an SQLite database.

On PostgreSQL there is no place of our own to keep a key apart from the data: without ``payload_keys`` no payload is kept.
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
    """The keys, ``None`` when payloads are not kept. Raises ``UsageError`` for a key file that cannot be read or made."""
    if settings.sealing is not None or not settings.database.startswith(SQLITE):
        return settings.sealing
    file = Path(f"{settings.database.removeprefix(SQLITE)}.key")
    try:
        if not file.exists():
            _create(file)
        key = read_key(file.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the key file {file} cannot be used ({type(error).__name__}); restore it, or configure payload_keys") from error
    name = f"file-{hashlib.sha256(key).hexdigest()[:8]}"
    return Sealing(name, {name: key})


def _create(file: Path) -> None:
    """Makes the file whole or not at all, readable by its owner only. Of two processes that do so, the first counts."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
    try:
        with os.fdopen(handle, "w") as made:
            made.write(new_key() + "\n")
            made.flush()
            os.fsync(made.fileno())
        with suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)
