"""Records of a JSON API in files: a response of the API, one record, a list, or one record per line, also gzipped.

A file with one record per line is streamed; any other is one document. What is not JSON is a payload too: the mapping rejects it with a
reason.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from adapters.base import AdapterError, Payload
from adapters.locators import opaque
from adapters.mapping import legible
from adapters.record.path import compile_nodes

GZIP = b"\x1f\x8b"


def payloads(path: Path, items: str) -> Iterator[Payload]:
    """The records of one file. ``items``: the path of the records in a response of the API. The locator is ``file:line`` or ``file#entry``.

    Raises :class:`~adapters.base.AdapterError` if the file cannot be read or its compression is damaged.
    """
    name = opaque(path.name)
    try:
        written, now = datetime.fromtimestamp(path.stat().st_mtime, UTC), datetime.now(UTC)
        with _opened(path) as file:
            for locator, body in _bodies(file, items):
                yield Payload(body, f"{name}{locator}", now, written)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise AdapterError(f"{name} is a damaged gzip file", permanent=True) from None
    except OSError as error:
        raise AdapterError(f"{name} cannot be read ({type(error).__name__})", permanent=True) from None


def records(data: Any, items: str) -> list[Any] | None:
    """The records of a response; ``None`` if it does not have the structure of the path ``items``."""
    if not items:
        return data if type(data) is list else [data]
    found = compile_nodes(items)(data) if type(data) is dict else []
    return [node.value for node in found] if found or _is_empty(data, items) else None


def _is_empty(data: Any, items: str) -> bool:
    """Whether the list, or a member on the path to it, is present and empty."""
    for step in items.split("."):
        data = data.get(step.partition("[")[0]) if type(data) is dict else None
        if data in ([], {}):
            return True
    return False


def encoded(record: Any) -> bytes:
    """One record as the bytes that are mapped and stored."""
    return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode()


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        zipped = file.read(len(GZIP)) == GZIP
    return cast(BinaryIO, gzip.open(path, "rb")) if zipped else path.open("rb")


def _bodies(file: BinaryIO, items: str) -> Iterator[tuple[str, bytes]]:
    first = next((line for line in file if line.strip()), b"")
    if _is_object(first):
        second = next((line for line in file if line.strip()), b"")
        if second:
            yield from ((f":{number}", line.strip()) for number, line in enumerate(_all_lines(first, second, file), 1) if line.strip())
            return
        yield from _document(first, items)
        return
    yield from _document(first + file.read(), items)


def _all_lines(first: bytes, second: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield first
    yield second
    yield from file


def _document(body: bytes, items: str) -> Iterator[tuple[str, bytes]]:
    try:
        data = legible.loads(body)
    except (ValueError, RecursionError):
        if body.strip():
            yield ":1", body.strip()
        return
    found = records(data, items)
    if found is None:
        found = data if type(data) is list else [data]
    yield from ((f"#{index}", encoded(record)) for index, record in enumerate(found))


def _is_object(line: bytes) -> bool:
    try:
        return type(legible.loads(line)) is dict
    except (ValueError, RecursionError):
        return False
