"""A payload without what it says: its shape stays, so that an engineer sees where it broke, and every letter and digit is covered. Pure.

JSON keeps its keys, HL7 its segment names and separators. What is neither keeps its punctuation.
"""

from __future__ import annotations

import json
import re
from typing import Any

SEGMENT = re.compile(r"^[A-Z][A-Z0-9]{2}(?=\W|$)")
COVERED = re.compile(r"[^\W_]")
PLAIN_KEYS = frozenset({"resourceType"})
LONGEST = 20_000
COVER = "•"


def masked(payload: bytes) -> str:
    """The payload as it may be looked at; long ones up to their first 20,000 characters."""
    text = payload.decode("utf-8", "replace")
    try:
        return json.dumps(_value(json.loads(text)), indent=2, ensure_ascii=False)[:LONGEST]
    except (ValueError, RecursionError):
        return "\n".join(_line(line) for line in re.split(r"[\r\n]+", text[:LONGEST]) if line)


def _line(line: str) -> str:
    found = SEGMENT.match(line)
    head = found[0] if found else ""
    return head + COVERED.sub(COVER, line[len(head) :])


def _value(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _value(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_value(one, key) for one in value]
    if key in PLAIN_KEYS or value is None:
        return value
    return COVERED.sub(COVER, str(value))
