"""Decompresses gzip and zip files while they are read, within bounds. Nothing is written under a name from an archive."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import IO

from adapters.files.rejected import FileRejected

GZIP, ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
"""How files begin (RFC 1952, 2.3.1; PKWARE APPNOTE 4.3.7). The second zip file has no members (4.3.16)."""
LONGEST_BEGINNING = 4
CHUNK = 256 * 1024
LARGEST = 4 * 1024**3
"""Bytes of a decompressed file."""
HIGHEST_RATIO, FROM = 250, 64 * 1024 * 1024
"""A file that grew beyond ``FROM`` bytes by more than this ratio is no extract: text compresses by 5 to 50."""


def unpacked(chunks: Iterator[bytes], largest: int) -> Iterator[bytes]:
    """The content: of a gzip file, of the only file in a zip file, or of the file itself. Raises :class:`FileRejected`."""
    first = b""
    while len(first) < LONGEST_BEGINNING and (chunk := next(chunks, b"")):
        first += chunk
    stream = chain([first], chunks)
    if first.startswith(GZIP):
        yield from _bounded(_gunzipped(stream), largest)
    elif first.startswith(ZIP):
        with opened(stream, largest) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            if len(members) != 1:
                raise FileRejected(
                    "archive_members", "the zip file must contain exactly one file: set 'archive' if it contains a whole set"
                )
            yield from member(archive, members[0], largest)
    else:
        yield from _bounded(((chunk, 0) for chunk in stream), largest)


@contextmanager
def opened(chunks: Iterable[bytes], largest: int) -> Iterator[zipfile.ZipFile]:
    """A zip file, copied to a temporary file that has no name. Raises :class:`FileRejected`."""
    with tempfile.TemporaryFile() as copy:
        _copy(chunks, copy, largest)
        try:
            archive = zipfile.ZipFile(copy)
        except (zipfile.BadZipFile, ValueError, OSError):
            raise _damaged() from None
        with archive:
            yield archive


def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, largest: int) -> Iterator[bytes]:
    """The content of one file in a zip file."""
    if info.flag_bits & 1:
        raise FileRejected("archive_encrypted", "the zip file is encrypted: deliver it without a password, over SFTP")
    yield from _bounded(_member_chunks(archive, info), largest)


def _member_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[tuple[bytes, int]]:
    try:
        with archive.open(info) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk, max(info.compress_size, 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        raise _damaged() from None


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """The content, and the number of compressed bytes read so far."""
    inflate, read, is_begun = zlib.decompressobj(wbits=31), 0, False
    try:
        for chunk in chunks:
            read, pending = read + len(chunk), chunk
            while pending:
                if inflate.eof:  # a further member (RFC 1952, 2.2); some writers pad the last one with zeros
                    pending = pending.lstrip(b"\x00")
                    if not pending:
                        break
                    inflate = zlib.decompressobj(wbits=31)
                is_begun = True
                yield inflate.decompress(pending, CHUNK), read
                pending = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    except zlib.error:
        raise _damaged() from None
    if not inflate.eof:
        yield inflate.flush(), max(read, 1)
    if not is_begun or not inflate.eof:
        raise _damaged()


def _bounded(chunks: Iterable[tuple[bytes, int]], largest: int) -> Iterator[bytes]:
    """The chunks, until they are too many. Each comes with the compressed size so far; 0 if it was not compressed."""
    size = 0
    for chunk, compressed in chunks:
        size += len(chunk)
        if size > largest or (compressed and size > FROM and size > compressed * HIGHEST_RATIO):
            raise FileRejected(
                "file_too_large", "the file, decompressed, is too large for an extract: check it, or raise max_unpacked_bytes"
            )
        yield chunk


def _copy(chunks: Iterable[bytes], copy: IO[bytes], largest: int) -> None:
    for chunk in _bounded(((chunk, 0) for chunk in chunks), largest):
        copy.write(chunk)


def _damaged() -> FileRejected:
    return FileRejected("archive_damaged", "the compressed file is damaged or incomplete: deliver it again")
