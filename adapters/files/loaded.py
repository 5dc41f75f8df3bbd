"""Opens a set: decompresses its files, loads them into a stage, and knows them by a digest of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from adapters.files import loading, unpack
from adapters.files.options import Extract, ExtractTable
from adapters.files.records import LoadedSet
from adapters.files.rejected import FileRejected
from adapters.files.sets import FileSet
from adapters.files.stage import Stage
from adapters.folders.drop_folder import DroppedFile

Chunks = Callable[[DroppedFile], Iterator[bytes]]
TableChunks = Callable[[ExtractTable], Iterator[bytes]]


class OpenedSet(NamedTuple):
    """A set that was loaded, and the digest of its files and of the time that they are about."""

    loaded: LoadedSet
    content: str


@contextmanager
def opened(chunks: Chunks, one: FileSet, extract: Extract) -> Iterator[OpenedSet]:
    """Loads a set. ``chunks`` reads a file. Raises :class:`FileRejected`, of the whole set: it is used all or nothing."""
    as_of, stage = one.as_of(extract.as_of), Stage(extract.tables)
    digest = hashlib.blake2b(as_of.encode(), digest_size=16)
    try:
        with _by_table(lambda file: _hashed(chunks(file), digest), one, extract) as of_table:
            loaded = [_load(stage, number, table, extract, of_table) for number, table in enumerate(extract.tables)]
        stage.index()
        columns, has_lost_rows = [each.columns for each in loaded], any(each.has_lost_rows for each in loaded)
        yield OpenedSet(LoadedSet(stage, extract, one.by_table, columns, has_lost_rows, as_of), digest.hexdigest())
    finally:
        stage.close()


def _load(stage: Stage, number: int, table: ExtractTable, extract: Extract, of_table: TableChunks) -> loading.Loaded:
    try:
        return loading.load(stage, number, extract, of_table(table))
    except FileRejected as error:
        raise FileRejected(error.reason, f"table {table.name}: {error.detail}") from None


@contextmanager
def _by_table(chunks: Chunks, one: FileSet, extract: Extract) -> Iterator[TableChunks]:
    if extract.archive is None:
        yield lambda table: unpack.unpacked(chunks(one.by_table[table.name]), extract.largest)
        return
    with unpack.opened(chunks(one.by_table[extract.patients.name]), extract.largest) as archive:
        members = [(info, PurePosixPath(info.filename).name) for info in archive.infolist() if not info.is_dir()]

        def of_table(table: ExtractTable) -> Iterator[bytes]:
            found = [info for info, name in members if table.pattern.match(name) is not None]
            if len(found) != 1:
                raise FileRejected("archive_members", f"the archive has {len(found)} files with the name in 'file': it must have one")
            return unpack.member(archive, found[0], extract.largest)

        yield of_table


def _hashed(chunks: Iterable[bytes], digest: Any) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
