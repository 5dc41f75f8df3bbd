"""Writes pieces of a configuration as text. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

PLAIN = re.compile(r"[A-Za-z0-9_./+][A-Za-z0-9_./+-]*(:[A-Za-z0-9_./+-]+)*|…", re.ASCII)
"""Text that YAML reads as it is written: no character of it has a meaning in YAML where it is."""


def scalar(text: str) -> str:
    """A text as a YAML scalar, quoted only if it must be. Words like ``no`` and ``02`` stay plain: the configuration takes them as text."""
    return text if PLAIN.fullmatch(text) else "".join(map(_printable, json.dumps(text, ensure_ascii=False)))


def _printable(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def inline(value: Any) -> str:
    """Nested mappings, lists and texts in one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(key))}: {inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    return scalar(str(value).lower() if isinstance(value, bool) else str(value))
