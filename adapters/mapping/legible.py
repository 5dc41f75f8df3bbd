"""JSON of which a part is illegible: bytes of another character set, halves of characters, NUL, escapes that JSON does not have. Pure.

One illegible name must not take a refusal beside it. So where JSON does not decode, what is illegible in it is exchanged for a mark and
the rest is read; whoever reads a text that is the mark reports it, and no text may count as read that is one.
Sources: RFC 8259 7 (strings) and 8.1 (UTF-8); no database takes NUL or half a character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

MARK = "\ufffd"
"""What stands in the place of an illegible text."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MARKED = (f'"{MARK}"'.encode(), b'"\\ufffd"')

_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9A-Fa-f]{4})|.?)', re.DOTALL)
_ILLEGIBLE = re.compile("[\x00\ud800-\udfff]")


def repaired(body: bytes) -> bytes:
    """The same JSON, legible. Raises ``ValueError`` for what is no JSON in any case."""
    text = body.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "surrogateescape")
    text = _ESCAPE.sub(lambda found: found[0] if found[1] else "\\u0000", text)
    try:
        return json.dumps(_legible(json.loads(text, strict=False)), ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def loads(body: bytes) -> Any:
    """The JSON, with marks for what is illegible. Raises ``ValueError`` for what is none."""
    try:
        return json.loads(body)
    except ValueError:
        return json.loads(repaired(body))


def is_marked(body: bytes) -> bool:
    """Whether some text of the JSON is the mark: it was illegible on the way to us, or on the page that it was taken from."""
    return any(mark in body for mark in MARKED)


def marks(value: Any, path: str) -> Iterator[str]:
    """The paths of what was illegible."""
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
