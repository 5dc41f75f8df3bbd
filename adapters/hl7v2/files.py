"""HL7 v2 in files: a drop folder that another system writes into, and single files given by a person.

A file counts when nobody has written to it for ``settle`` seconds.

Options: ``path`` (the drop folder), ``settle`` (seconds, default 2), ``after`` (``adapters.hl7v2.drop``), and those of the mapper.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from adapters.base import AdapterError, Batch, Fetch, Finding, Payload, SourceSettings
from adapters.hl7v2 import drop
from adapters.hl7v2.drop import CHUNK, MOVE, Dropped
from adapters.hl7v2.mapping import Hl7Mapper

SETTLE = 2.0


def payloads(path: Path) -> Iterator[Payload]:
    """The messages in one file, streamed in constant memory; every byte of the file ends in one of them."""
    return drop.messages(_chunks(path), _dropped(path))


class LocalFolder:
    """A folder of this machine, or one that is mounted on it."""

    def __init__(self, path: Path, settle: float) -> None:
        self.path, self._settle = path, settle

    def waiting(self) -> list[Dropped]:
        names = sorted(entry.name for entry in os.scandir(self.path) if entry.is_file() and drop.is_waiting(entry.name))
        return [_dropped(self.path / name) for name in names]

    def settled(self) -> Iterator[Dropped]:
        now = datetime.now(UTC).timestamp()
        return (file for file in self.waiting() if now - file.written >= self._settle)

    def chunks(self, file: Dropped) -> Iterator[bytes]:
        return _chunks(self.path / file.name)

    def is_unchanged(self, file: Dropped) -> bool:
        return _dropped(self.path / file.name) == file

    def move(self, file: Dropped, folder: str) -> None:
        target, number = self.path / folder / file.name, 0
        target.parent.mkdir(exist_ok=True)
        while target.exists():
            number += 1
            target = target.with_name(f"{file.name}.{number}")
        (self.path / file.name).replace(target)


class FilesAdapter:
    """Reads the drop folder of one source."""

    def __init__(self, settings: SourceSettings) -> None:
        options = settings.options
        self.mapper = Hl7Mapper(settings)
        self._named = bool(options.get("path"))
        self._folder = LocalFolder(Path(str(options.get("path") or "")), float(options.get("settle", SETTLE)))
        self._after = str(options.get("after") or MOVE)

    def payloads(self, path: Path) -> Iterator[Payload]:
        return payloads(path)

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        """The settled files in the order of their names (``adapters.hl7v2.drop``)."""
        path = self._folder.path
        if not self._named or not path.is_dir():
            raise AdapterError("the drop folder does not exist: set 'path' of this source", permanent=True)
        if not self._is_permitted(path):
            raise AdapterError("the drop folder cannot be read and written: mend its permissions, or set 'after: keep'", permanent=True)
        try:
            yield from drop.fetch(self._folder, self.mapper, request, self._after)
        except OSError as error:
            raise AdapterError(f"a file of the drop folder cannot be read or moved: {error.strerror}") from error

    def check(self) -> Iterator[Finding]:
        path = self._folder.path
        if not self._named:
            yield Finding("drop folder", False, "'path' is not set: name the folder that messages are dropped into")
        elif not path.is_dir():
            yield Finding("drop folder", False, "the folder of 'path' does not exist: create it or mend the path")
        elif not self._is_permitted(path):
            yield Finding("drop folder", False, "files cannot be read and moved: mend its permissions, or set 'after: keep'")
        else:
            yield Finding("drop folder", True, "readable and writable" if self._after == MOVE else "readable; files stay where they are")
            yield Finding("waiting", True, f"{len(self._folder.waiting())} file(s) are waiting")

    def _is_permitted(self, path: Path) -> bool:
        return os.access(path, os.R_OK | os.X_OK | (os.W_OK if self._after == MOVE else 0))


def _dropped(path: Path) -> Dropped:
    status = path.stat()
    return Dropped(path.name, status.st_size, status.st_mtime_ns / 1e9)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from iter(lambda: stream.read(CHUNK), b"")
