"""HL7 v2 in files: a drop folder that another system writes to, and single files given on the command line.

Batches state how many messages they contain (BTS-1, FTS-1). A different count is reported as the rejection ``batch_count_mismatch``. The
received messages are applied anyway: part of an upload is missing, and holding back an opt-out for that would be worse.

Options: those of the folder (``adapters.folders.local``, ``adapters.folders.sftp``), and those of the mapper.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from adapters.base import Batch, Fetch, Finding, Payload, SourceSettings
from adapters.folders import drop_folder, local
from adapters.folders.drop_folder import Drop, DroppedFile
from adapters.folders.local import LocalDrop
from adapters.hl7v2.batch import counted, pieces
from adapters.hl7v2.charset import wide
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.locators import opaque
from adapters.notes import InMemoryNotes, Notes


def payloads(path: Path) -> Iterator[Payload]:
    """The messages in one file, streamed in constant memory; every byte of the file is part of a payload."""
    return messages(local.chunks(path), local.dropped(path))


def messages(chunks: Iterator[bytes], file: DroppedFile) -> Iterator[Payload]:
    """The messages in the bytes of a file, streamed in constant memory."""
    first = next(chunks, b"")
    codec = wide(first[:4])
    stream: Iterable[bytes] = chain([first], chunks)
    written = datetime.fromtimestamp(file.written, UTC)
    for number, body in enumerate(counted(pieces(_to_utf8(stream, codec) if codec else stream)), 1):
        yield Payload(body, f"{opaque(file.name)}#{number}", datetime.now(UTC), written)


class FilesAdapter:
    """Reads the drop folder of one source."""

    def __init__(self, settings: SourceSettings, drop: Drop | None = None) -> None:
        self.mapper = Hl7Mapper(settings)
        self._drop = drop or LocalDrop(settings.options)
        self.notes: Notes = InMemoryNotes()

    def payloads(self, path: Path) -> Iterator[Payload]:
        return payloads(path)

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        """The settled files in the order of their names (``adapters.folders.drop_folder``)."""
        with self._drop.opened() as folder:
            yield from drop_folder.fetch(folder, messages, self.mapper, request, self._drop.after_read, self.notes)

    def check(self) -> Iterator[Finding]:
        yield from self._drop.check()


def _to_utf8(chunks: Iterable[bytes], codec: str) -> Iterator[bytes]:
    """Converts UTF-16 and UTF-32 to UTF-8, so that messages can be found by their bytes."""
    for text in codecs.iterdecode(chunks, codec):
        yield text.encode()
