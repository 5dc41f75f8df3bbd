"""A drop folder, wherever it is: which files count, their messages in batches, and what becomes of a file that was read.

``after: move`` (the default): once the messages of a file are committed it goes to ``done``, or to ``error`` when nothing in it could
be used. The folder is the ledger. A crash before the move reads the file again, which changes nothing twice; the other way round, a
ledger of names would skip a new file that looks like an old one. ``after: keep`` is for folders that we may not write to: the cursor
remembers name, size and time of every file that is there and was read.

Batches say how many messages they hold (BTS-1, FTS-1). Where another number came, the rejection ``batch_count_mismatch`` tells a
person, and what came is applied all the same: part of an upload is missing, and to hold back an opt-out for that would be worse.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import NamedTuple, Protocol

from adapters.base import Batch, Fetch, Item, Mapper, Payload, Unmappable
from adapters.hl7v2.batch import counted, pieces
from adapters.hl7v2.charset import wide

BATCH = 1000
CHUNK = 256 * 1024
DONE, ERROR = "done", "error"
MOVE, KEEP = "move", "keep"
UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".writing")


class Dropped(NamedTuple):
    """A file that waits. ``written`` is in seconds since 1970 by the clock of the folder."""

    name: str
    size: int
    written: float


class Folder(Protocol):
    """Where files are dropped. Every method may raise ``OSError`` or :class:`AdapterError`."""

    def settled(self) -> Iterator[Dropped]:
        """The files that nobody writes to any more, by name."""
        ...

    def chunks(self, file: Dropped) -> Iterator[bytes]: ...

    def is_unchanged(self, file: Dropped) -> bool: ...

    def move(self, file: Dropped, folder: str) -> None:
        """Moves it to that folder inside of this one, overwriting nothing."""
        ...


def is_waiting(name: str) -> bool:
    """Whether a name is that of a whole file: hidden ones and uploads under way are not."""
    return not name.startswith(".") and not name.lower().endswith(UNFINISHED)


def messages(chunks: Iterator[bytes], file: Dropped) -> Iterator[Payload]:
    """The messages in one file, streamed in constant memory; every byte of the file ends in one of them."""
    first = next(chunks, b"")
    codec = wide(first[:4])
    stream: Iterable[bytes] = chain([first], chunks)
    written = datetime.fromtimestamp(file.written, UTC)
    for number, body in enumerate(counted(pieces(_narrowed(stream, codec) if codec else stream)), 1):
        yield Payload(body, f"{file.name}#{number}", datetime.now(UTC), written)


def fetch(folder: Folder, mapper: Mapper, request: Fetch, after: str) -> Iterator[Batch]:
    """The settled files in the order of their names; a dry read leaves them. ``patient`` and ``since`` mean nothing to a folder."""
    if after == KEEP:
        yield from _kept(folder, mapper, request)
    else:
        for file in folder.settled():
            yield from _moved(folder, mapper, file, dry=request.dry)


def _moved(folder: Folder, mapper: Mapper, file: Dropped, *, dry: bool) -> Iterator[Batch]:
    """The batches of one file. The engine asks for the next batch when one is committed, so the end is the time to move."""
    usable = False
    for batch in _batches(folder, mapper, file):
        usable = usable or any(not isinstance(item, Unmappable) for item in batch.items)
        yield batch
    if not dry and folder.is_unchanged(file):
        folder.move(file, DONE if usable else ERROR)


def _kept(folder: Folder, mapper: Mapper, request: Fetch) -> Iterator[Batch]:
    """The batches of the files that were not read yet; the last batch of each brings the cursor that knows it."""
    read = _ledger(request.cursor)
    waiting = list(folder.settled())
    ledger = {file.name: [file.size, file.written] for file in waiting if read.get(file.name) == [file.size, file.written]}
    for file in waiting:
        if file.name in ledger and not request.full:
            continue
        held: Batch | None = None
        for batch in _batches(folder, mapper, file):
            if held is not None:
                yield held
            held = batch
        if folder.is_unchanged(file):
            ledger[file.name] = [file.size, file.written]
        yield (held or Batch([]))._replace(cursor=json.dumps(ledger))


def _batches(folder: Folder, mapper: Mapper, file: Dropped) -> Iterator[Batch]:
    stream = messages(folder.chunks(file), file)
    while group := list(islice(stream, BATCH)):
        pairs: list[tuple[Item, bytes]] = [(item, payload.body) for payload in group for item in mapper.read(payload)]
        yield Batch([item for item, _ in pairs], None, [body for _, body in pairs])


def _ledger(cursor: str | None) -> dict[str, list[float]]:
    """Name -> size and time. A cursor of another kind knows no file: reading one again is harmless."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _narrowed(chunks: Iterable[bytes], codec: str) -> Iterator[bytes]:
    """UTF-16 and UTF-32 as UTF-8, so that messages can be found by their bytes."""
    for text in codecs.iterdecode(chunks, codec):
        yield text.encode()
