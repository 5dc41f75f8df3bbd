"""Repairs JSON with illegible parts: bytes of another character set, lone surrogates, NUL, invalid escapes. Pure.

An illegible name must not hide a refusal in the same record. If JSON does not decode, illegible texts are replaced by a mark and the rest
is read. Code that reads a marked text reports it, and never uses the mark as a value.
Sources: RFC 8259 sections 7 (strings) and 8.1 (UTF-8). Databases accept neither NUL nor lone surrogates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

MARK = "\ufffd"
"""Replaces an illegible text."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MARKED, MARKED_AS_ESCAPE = f'"{MARK}"'.encode(), b'"\\ufffd"'

_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9A-Fa-f]{4})|.?)', re.DOTALL)
_ILLEGIBLE = re.compile("[\x00\ud800-\udfff]")


def repaired(body: bytes) -> bytes:
    """The same JSON with marks for illegible texts. Raises ``ValueError`` if it is not JSON."""
    text = body.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "surrogateescape")
    text = _ESCAPE.sub(lambda found: found[0] if found[1] else "\\u0000", text)
    try:
        return json.dumps(_legible(json.loads(text, strict=False)), ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def loads(body: bytes) -> Any:
    """The parsed JSON, with marks for illegible texts. Raises ``ValueError`` if it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return json.loads(repaired(body))


def is_marked(body: bytes) -> bool:
    """Whether a text in the JSON is the mark: it was illegible in this payload or in an earlier step."""
    return MARKED in body or (b"\\" in body and MARKED_AS_ESCAPE in body)


def marks(value: Any, path: str) -> Iterator[str]:
    """The paths of the illegible texts."""
    if value == MARK:
        yield path
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from marks(one, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from marks(one, f"{path}[{index}]")


def _legible(value: Any) -> Any:
    if isinstance(value, str):
        return MARK if _ILLEGIBLE.search(value) else value
    if isinstance(value, dict):
        return {_legible(name): _legible(one) for name, one in value.items()}
    return [_legible(one) for one in value] if isinstance(value, list) else value
