"""Reads FHIR resources from files: NDJSON, one resource or Bundle, also gis_gzip. Streamed; every byte is part of a payload.

A line that is not JSON is a payload too: the mapping rejects it with a reason. Source: http://ndjson.org/, Bulk Data Access IG.
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

    Raises :class:`~adapters.base.AdapterError` if the file cannot be read or its compression is damaged.
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
        is_gzip = file.read(len(GZIP)) == GZIP
    return cast(BinaryIO, gzip.open(path, "rb")) if is_gzip else path.open("rb")


def _lines(file: BinaryIO) -> Iterator[Line]:
    """Lines that are not empty, with their numbers from 1."""
    return ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _documents(lines: Iterator[Line]) -> Iterator[Line]:
    """Each line, or all lines as one document, if neither of the first two lines is a document by itself."""
    head = [line for line in (next(lines, None), next(lines, None)) if line is not None]
    whole = chain(head, lines)
    if len(head) < 2 or any(_is_json(body) for _, body in head):
        return _each(whole)
    return _together(list(whole))


def _each(lines: Iterable[Line]) -> Iterator[Line]:
    return ((number, body.strip()) for number, body in lines)


def _together(lines: list[Line]) -> Iterator[Line]:
    """All lines as one document; each line if it is NDJSON that begins with two damaged lines."""
    document = b"".join(body for _, body in lines)
    later = any(_is_json(body) for _, body in lines[2:]) and not _is_json(document)
    return _each(lines) if later else iter([(lines[0][0], document.strip())])


def _is_json(body: bytes) -> bool:
    """Whether the bytes are one JSON object. A line of a multi-line document may be a text or number by itself."""
    if not body.strip().endswith(b"}"):
        return False
    try:
        decode(body)
    except NotReadable as error:
        return error.reason == "not_fhir"
    return True
