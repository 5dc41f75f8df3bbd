"""FHIR resources in files: NDJSON, one resource or Bundle, each also gzipped. Streamed; every byte ends in some payload.

A line that is no JSON is a payload like the others: the mapping rejects it by name. Source: http://ndjson.org/, Bulk Data Access IG.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

from adapters.base import AdapterError, Payload
from adapters.fhir.decode import NotReadable, decode
from adapters.locators import opaque

GZIP = b"\x1f\x8b"

Line = tuple[int, bytes]


def payloads(path: Path) -> Iterator[Payload]:
    """The resources of one file. The locator is ``file:line``.

    Raises :class:`~adapters.base.AdapterError` when the file cannot be read or its compression is broken.
    """
    name = opaque(path.name)
    try:
        written, now = datetime.fromtimestamp(path.stat().st_mtime, UTC), datetime.now(UTC)
        with _opened(path) as file:
            for number, body in _documents(_lines(file)):
                yield Payload(body, f"{name}:{number}", now, written)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise AdapterError(f"{name} is a damaged gzip file", permanent=True) from None
    except OSError as error:
        raise AdapterError(f"{name} cannot be read ({type(error).__name__})", permanent=True) from None


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        zipped = file.read(len(GZIP)) == GZIP
    return cast(BinaryIO, gzip.open(path, "rb")) if zipped else path.open("rb")


def _lines(file: BinaryIO) -> Iterator[Line]:
    """Lines that hold something, with their numbers from 1."""
    return ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _documents(lines: Iterator[Line]) -> Iterator[Line]:
    """Each line, or all of them together: a file is one document when neither of its first two lines is one by itself."""
    head = [line for line in (next(lines, None), next(lines, None)) if line is not None]
    whole = chain(head, lines)
    if len(head) < 2 or any(_is_json(body) for _, body in head):
        return _each(whole)
    return _together(list(whole))


def _each(lines: Iterable[Line]) -> Iterator[Line]:
    return ((number, body.strip()) for number, body in lines)


def _together(lines: list[Line]) -> Iterator[Line]:
    """One document, else lines after all: NDJSON that begins with two broken ones."""
    document = b"".join(body for _, body in lines)
    later = any(_is_json(body) for _, body in lines[2:]) and not _is_json(document)
    return _each(lines) if later else iter([(lines[0][0], document.strip())])


def _is_json(body: bytes) -> bool:
    """Whether the bytes are one object; a line of a document written over several may be a text or a number by itself."""
    if not body.strip().endswith(b"}"):
        return False
    try:
        decode(body)
    except NotReadable as error:
        return error.reason == "not_fhir"
    return True
