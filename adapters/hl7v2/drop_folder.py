"""A drop folder, wherever it is: which files count, their messages in batches, and what becomes of a file that was read.

``after: move`` (the default): once the messages of a file are committed it goes to ``done``, or to ``error`` when nothing in it could
be used. The folder is the ledger. A crash before the move reads the file again, which changes nothing twice; the other way round, a
ledger of names would skip a new file that looks like an old one. ``after: keep`` is for folders that we may not write to: the cursor
remembers size and time of every file that is there and was read.

Symbolic links are not followed, whatever they lead to. Files in ``done`` are removed after ``keep_done``, at most once an hour.
Files are known by digests of their names (``adapters.locators``) wherever somebody may read it: names hold patients' numbers.

Batches say how many messages they hold (BTS-1, FTS-1). Where another number came, the rejection ``batch_count_mismatch`` tells a
person, and what came is applied all the same: part of an upload is missing, and to hold back an opt-out for that would be worse.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple, Protocol

from adapters.base import Batch, Fetch, Item, Mapper, Payload, Unmappable
from adapters.hl7v2.batch import counted, pieces
from adapters.hl7v2.charset import wide
from adapters.locators import key, opaque
from adapters.notes import Notes

BATCH, BATCH_BYTES = 1000, 8 * 1024 * 1024
KEEP_DONE = 90 * 86_400.0  # seconds
CLEARED, CLEAR_EVERY = "drop.cleared", timedelta(hours=1)
LINKED = "'{folder}' in the drop folder is a symbolic link or not a folder: replace it with a folder"
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
    """Where files are dropped. Every method may raise ``OSError`` or :class:`AdapterError`; none follows a symbolic link."""

    def settled(self) -> Iterator[Dropped]:
        """The files that nobody writes to any more, by name."""
        ...

    def chunks(self, file: Dropped) -> Iterator[bytes]: ...

    def is_unchanged(self, file: Dropped) -> bool: ...

    def move(self, file: Dropped, folder: str) -> None:
        """Moves it to that folder inside of this one, overwriting nothing."""
        ...

    def clear(self, folder: str, before: float) -> None:
        """Removes the files of that folder that were moved there before (seconds since 1970)."""
        ...


class Done(NamedTuple):
    """What becomes of files that were read: ``after`` is :data:`MOVE` or :data:`KEEP`; ``keep`` in seconds, ``None`` for ever."""

    after: str = MOVE
    keep: float | None = KEEP_DONE

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Done:
        """From a source's ``after`` and ``keep_done``."""
        kept = options.get("keep_done", KEEP_DONE)
        return cls(str(options.get("after") or MOVE), None if kept is None else float(kept))


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
        yield Payload(body, f"{opaque(file.name)}#{number}", datetime.now(UTC), written)


def fetch(folder: Folder, mapper: Mapper, request: Fetch, done: Done, notes: Notes) -> Iterator[Batch]:
    """The settled files in the order of their names; a dry read leaves them. ``patient`` and ``since`` mean nothing to a folder."""
    if done.after == KEEP:
        yield from _kept(folder, mapper, request)
        return
    for file in folder.settled():
        yield from _moved(folder, mapper, file, dry=request.dry)
    if done.keep is not None and not request.dry:
        yield from _cleared(folder, done.keep, notes)


def _cleared(folder: Folder, keep: float, notes: Notes) -> Iterator[Batch]:
    """Removes what was kept long enough. That it cannot be is told, and no reason for a run to fail."""
    now = datetime.now(UTC)
    last = notes.read(CLEARED)
    if last and timedelta(0) <= now - datetime.fromisoformat(last) < CLEAR_EVERY:
        return
    try:
        folder.clear(DONE, now.timestamp() - keep)
    except OSError as error:
        yield Batch([], note=f"files in '{DONE}' that are older than keep_done could not be removed ({error.strerror})")
    notes.change(CLEARED, lambda _: now.isoformat())


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
    ledger = {name: found for file in waiting if read.get(name := key(file.name)) == (found := [file.size, file.written])}
    for file in waiting:
        if key(file.name) in ledger and not request.full:
            continue
        held: Batch | None = None
        for batch in _batches(folder, mapper, file):
            if held is not None:
                yield held
            held = batch
        if folder.is_unchanged(file):
            ledger[key(file.name)] = [file.size, file.written]
        yield (held or Batch([]))._replace(cursor=json.dumps(ledger))


def _batches(folder: Folder, mapper: Mapper, file: Dropped) -> Iterator[Batch]:
    stream = messages(folder.chunks(file), file)
    for group in _grouped(stream):
        pairs: list[tuple[Item, bytes]] = [(item, payload.body) for payload in group for item in mapper.read(payload)]
        yield Batch([item for item, _ in pairs], None, [body for _, body in pairs])


def _grouped(stream: Iterable[Payload]) -> Iterator[list[Payload]]:
    group: list[Payload] = []
    room = BATCH_BYTES
    for payload in stream:
        if group and (len(group) == BATCH or len(payload.body) > room):
            yield group
            group, room = [], BATCH_BYTES
        group.append(payload)
        room -= len(payload.body)
    if group:
        yield group


def _ledger(cursor: str | None) -> dict[str, list[float]]:
    """Digest of the name -> size and time. A cursor of another kind knows no file: reading one again is harmless."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _narrowed(chunks: Iterable[bytes], codec: str) -> Iterator[bytes]:
    """UTF-16 and UTF-32 as UTF-8, so that messages can be found by their bytes."""
    for text in codecs.iterdecode(chunks, codec):
        yield text.encode()
