"""Lists as PostgreSQL reads them: ``{1,2}``, ``{"a","b"}``. Pure.

The driver looks at each element of a list to find its type, in Python; the columns say it already. Source: PostgreSQL, "Array Input
and Output Syntax".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def texts(values: Sequence[str | None]) -> str:
    """A list of text; ``None`` is NULL."""
    try:
        joined = '","'.join(values)  # type: ignore[arg-type]  # told apart below
    except TypeError:
        return f"{{{','.join(['NULL' if value is None else _quoted(value) for value in values])}}}"
    if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
        return f'{{"{joined}"}}'
    return f"{{{','.join([_quoted(value) for value in values if value is not None])}}}"


def numbers(values: Sequence[int | None]) -> str:
    """A list of whole numbers; ``None`` is NULL."""
    return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"


def times(values: Sequence[datetime | None]) -> str:
    """A list of aware times; ``None`` is NULL. The rows of a batch share most of theirs."""
    known: dict[datetime | None, str] = {None: "NULL"}
    for value in values:
        if value is not None and value not in known:
            known[value] = f'"{value.astimezone(UTC).isoformat()}"'
    return f"{{{','.join([known[value] for value in values])}}}"


def octets(values: Sequence[bytes | None]) -> str:
    """A list of bytes; ``None`` is NULL."""
    return f"{{{','.join(['NULL' if value is None else _hexadecimal(value) for value in values])}}}"


def listed(values: Sequence[Any]) -> str:
    """A list of text or of numbers, none of them NULL."""
    if not values:
        return "{}"
    return numbers(values) if isinstance(values[0], int) else texts(values)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _hexadecimal(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'
