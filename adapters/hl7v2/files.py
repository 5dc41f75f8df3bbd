"""HL7 v2 in files: a drop folder that another system writes into, and single files given by a person.

A file counts when nobody has written to it for ``settle`` seconds. Once its messages are committed it is moved to ``done``,
or to ``error`` when nothing in it could be used: the folder is the ledger, so there is no cursor. A crash before
the move reads the file again, which changes nothing twice.

Options: ``path`` (the drop folder), ``settle`` (seconds, default 2), and those of the mapper.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from adapters.base import AdapterError, Batch, Fetch, Finding, Item, Payload, SourceSettings, Unmappable
from adapters.hl7v2.batch import pieces
from adapters.hl7v2.charset import wide
from adapters.hl7v2.mapping import Hl7Mapper

BATCH = 1000
CHUNK = 256 * 1024
SETTLE = 2.0
DONE, ERROR = "done", "error"
UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".writing")


def payloads(path: Path) -> Iterator[Payload]:
    """The messages in one file, streamed in constant memory; every byte of the file ends in one of them."""
    with path.open("rb") as stream:
        written = datetime.fromtimestamp(os.fstat(stream.fileno()).st_mtime, UTC)
        chunks = iter(lambda: stream.read(CHUNK), b"")
        codec = wide(stream.read(4))
        stream.seek(0)
        readable = _narrowed(chunks, codec) if codec else chunks
        for number, body in enumerate(pieces(readable), 1):
            yield Payload(body, f"{path.name}#{number}", datetime.now(UTC), written)


class FilesAdapter:
    """Reads the drop folder of one source."""

    def __init__(self, settings: SourceSettings) -> None:
        self.mapper = Hl7Mapper(settings)
        self._folder = Path(str(settings.options.get("path") or ""))
        self._named = bool(settings.options.get("path"))
        self._settle = float(settings.options.get("settle", SETTLE))

    def payloads(self, path: Path) -> Iterator[Payload]:
        return payloads(path)

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        """The settled files in the order of their names; a dry read leaves them. ``patient`` and ``since`` mean nothing to a folder."""
        for path in self._settled(datetime.now(UTC).timestamp()):
            yield from self._read(path, dry=request.dry)

    def check(self) -> Iterator[Finding]:
        if not self._named:
            yield Finding("drop folder", False, "'path' is not set: name the folder that messages are dropped into")
        elif not self._folder.is_dir():
            yield Finding("drop folder", False, "the folder of 'path' does not exist: create it or mend the path")
        else:
            writable = os.access(self._folder, os.R_OK | os.W_OK | os.X_OK)
            yield Finding(
                "drop folder", writable, "readable and writable" if writable else "files cannot be read and moved: mend its permissions"
            )
            yield Finding("waiting", True, f"{sum(1 for _ in self._files())} file(s) are waiting")

    def _files(self) -> Iterator[Path]:
        names = sorted(entry.name for entry in os.scandir(self._folder) if entry.is_file() and not entry.name.startswith("."))
        return (self._folder / name for name in names if not name.lower().endswith(UNFINISHED))

    def _settled(self, now: float) -> Iterator[Path]:
        try:
            if not self._named:
                raise FileNotFoundError
            yield from (path for path in self._files() if now - path.stat().st_mtime >= self._settle)
        except FileNotFoundError:
            raise AdapterError("the drop folder does not exist: set 'path' of this source", permanent=True) from None
        except PermissionError:
            raise AdapterError("the drop folder cannot be read: mend its permissions", permanent=True) from None
        except OSError as error:
            raise AdapterError(f"the drop folder cannot be read: {error.strerror}") from error

    def _read(self, path: Path, *, dry: bool) -> Iterator[Batch]:
        """The batches of one file. The engine asks for the next batch when one is committed, so the end is the time to move."""
        try:
            before = path.stat()
            usable = False
            stream = payloads(path)
            while group := list(islice(stream, BATCH)):
                batch = self._batch(group)
                usable = usable or any(not isinstance(item, Unmappable) for item in batch.items)
                yield batch
            after = path.stat()
            if not dry and (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                _move(path, self._folder / (DONE if usable else ERROR))
        except OSError as error:
            raise AdapterError(f"a file of the drop folder cannot be read or moved: {error.strerror}") from error

    def _batch(self, group: list[Payload]) -> Batch:
        pairs: list[tuple[Item, bytes]] = [(item, payload.body) for payload in group for item in self.mapper.read(payload)]
        return Batch([item for item, _ in pairs], None, [body for _, body in pairs])


def _move(path: Path, folder: Path) -> None:
    """Moves a file, keeping an older one of the same name."""
    folder.mkdir(exist_ok=True)
    target, number = folder / path.name, 0
    while target.exists():
        number += 1
        target = folder / f"{path.name}.{number}"
    path.replace(target)


def _narrowed(chunks: Iterator[bytes], codec: str) -> Iterator[bytes]:
    """UTF-16 and UTF-32 as UTF-8, so that messages can be found by their bytes."""
    for text in codecs.iterdecode(chunks, codec):
        yield text.encode()
