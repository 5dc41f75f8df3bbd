"""Reads a drop folder, local or remote: selects the files, reads their payloads in batches, and moves or remembers the files.

``after: move`` (the default): once the payloads of a file are committed, the file is moved to ``done``, or to ``error`` if nothing in it
could be used. The folder itself shows which files are read. After a crash before the move the file is read again, which changes nothing
twice. A list of names would instead skip a new file with the name of an old one. ``after: keep`` is for folders without write access:
the cursor stores size and time of every file that is present and was read.

Symbolic links are never followed. Files in ``done`` are removed after ``keep_done``, at most once an hour. Files are identified by digests
of their names (``adapters.locators``) wherever people can read it, because names contain patients' numbers.

Some senders upload under the final name, so a file could be read while it is still being written (github.com/nextgenhealthcare/connect
issue 2265): ``settle`` and :data:`UNFINISHED` prevent this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol

from adapters.base import Batch, Fetch, Finding, Item, Mapper, Payload, Unmappable, in_groups
from adapters.locators import key
from adapters.notes import Notes

BATCH, BATCH_BYTES = 1000, 8 * 1024 * 1024
KEEP_DONE = 90 * 86_400.0  # seconds
CLEARED, CLEAR_EVERY = "drop.cleared", timedelta(hours=1)
LINKED = "'{folder}' in the drop folder is a symbolic link or not a folder: replace it with a folder"
CHUNK = 256 * 1024
DONE, ERROR = "done", "error"
MOVE, KEEP = "move", "keep"
UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".writing")


class DroppedFile(NamedTuple):
    """A file in the drop folder. ``written`` is its modification time in seconds since 1970, by the clock of the folder."""

    name: str
    size: int
    written: float


class Folder(Protocol):
    """A drop folder. Every method may raise ``OSError`` or :class:`AdapterError`; none follows a symbolic link."""

    def settled(self) -> Iterator[DroppedFile]:
        """The files that are no longer being written, in the order of their names."""
        ...

    def chunks(self, file: DroppedFile) -> Iterator[bytes]: ...

    def is_unchanged(self, file: DroppedFile) -> bool: ...

    def move(self, file: DroppedFile, folder: str) -> None:
        """Moves the file to a subfolder without overwriting another file."""
        ...

    def clear(self, folder: str, before: float) -> None:
        """Removes the files that were moved to the subfolder before a time (seconds since 1970)."""
        ...


Read = Callable[[Iterator[bytes], DroppedFile], Iterator[Payload]]
"""The payloads in the bytes of a file, streamed; every byte is part of a payload."""


class AfterRead(NamedTuple):
    """The handling of files after reading: ``after`` is :data:`MOVE` or :data:`KEEP`; ``keep`` is in seconds, ``None`` for ever."""

    after: str = MOVE
    keep: float | None = KEEP_DONE

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> AfterRead:
        """From a source's ``after`` and ``keep_done``."""
        kept = options.get("keep_done", KEEP_DONE)
        return cls(str(options.get("after") or MOVE), None if kept is None else float(kept))


class Drop(Protocol):
    """The drop folder of one source. ``opened`` connects; its errors are :class:`~adapters.base.AdapterError`."""

    after_read: AfterRead

    def opened(self) -> AbstractContextManager[Folder]: ...

    def check(self) -> Iterator[Finding]: ...


def is_waiting(name: str) -> bool:
    """Whether the name is that of a complete file: not hidden, and not an upload in progress."""
    return not name.startswith(".") and not name.lower().endswith(UNFINISHED)


def fetch(folder: Folder, read: Read, mapper: Mapper, request: Fetch, after_read: AfterRead, notes: Notes) -> Iterator[Batch]:
    """Reads the settled files in the order of their names. A dry read does not move them. ``patient`` and ``since`` have no effect."""
    if after_read.after == KEEP:
        yield from _read_and_keep(folder, read, mapper, request)
        return
    for file in folder.settled():
        yield from _read_and_move(folder, read, mapper, file, dry=request.dry)
    if after_read.keep is not None and not request.dry:
        yield from remove_old(folder, after_read.keep, notes)


def remove_old(folder: Folder, keep: float, notes: Notes) -> Iterator[Batch]:
    """Removes old files from ``done``. A failure is reported as a note and does not fail the run."""
    now = datetime.now(UTC)
    last = notes.read(CLEARED)
    if last and timedelta(0) <= now - datetime.fromisoformat(last) < CLEAR_EVERY:
        return
    try:
        folder.clear(DONE, now.timestamp() - keep)
    except OSError as error:
        yield Batch([], note=f"files in '{DONE}' that are older than keep_done could not be removed ({error.strerror})")
    notes.change(CLEARED, lambda _: now.isoformat())


def _read_and_move(folder: Folder, read: Read, mapper: Mapper, file: DroppedFile, *, dry: bool) -> Iterator[Batch]:
    """The batches of one file, which is moved at the end: the engine requests the next batch only after the previous one is committed."""
    usable = False
    for batch in batches(read(folder.chunks(file), file), mapper):
        usable = usable or any(not isinstance(item, Unmappable) for item in batch.items)
        yield batch
    if not dry and folder.is_unchanged(file):
        folder.move(file, DONE if usable else ERROR)


def _read_and_keep(folder: Folder, read: Read, mapper: Mapper, request: Fetch) -> Iterator[Batch]:
    """The batches of files that were not read before. The last batch of each file has the cursor that includes the file."""
    known = _files_read(request.cursor)
    waiting = list(folder.settled())
    ledger = {name: found for file in waiting if known.get(name := key(file.name)) == (found := [file.size, file.written])}
    for file in waiting:
        if key(file.name) in ledger and not request.full:
            continue
        previous: Batch | None = None
        for batch in batches(read(folder.chunks(file), file), mapper):
            if previous is not None:
                yield previous
            previous = batch
        if folder.is_unchanged(file):
            ledger[key(file.name)] = [file.size, file.written]
        yield (previous or Batch([]))._replace(cursor=json.dumps(ledger))


def batches(payloads: Iterable[Payload], mapper: Mapper) -> Iterator[Batch]:
    """The payloads, mapped, in batches of limited size."""
    return (mapped(group, mapper) for group in groups(payloads))


def mapped(payloads: Sequence[Payload], mapper: Mapper) -> Batch:
    """The items of some payloads, each with the bytes it came from."""
    pairs: list[tuple[Item, bytes]] = [(item, payload.body) for payload in payloads for item in mapper.read(payload)]
    return Batch([item for item, _ in pairs], None, [body for _, body in pairs])


def groups(stream: Iterable[Payload]) -> Iterator[list[Payload]]:
    """Groups of limited count and bytes."""
    return in_groups(stream, BATCH, BATCH_BYTES, lambda payload: len(payload.body))


def _files_read(cursor: str | None) -> dict[str, list[float]]:
    """The files in a cursor: digest of the name -> size and time. An unknown cursor contains no files; reading a file again is harmless."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
