"""What no database keeps and no clock shows is refused where it comes in: NUL, halves of characters, times outside the calendar."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from store.web.http.problem import ProblemDetails

ESCAPED_NUL = b"\\u0000"
DAYS_ASIDE = timedelta(days=2)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC) + DAYS_ASIDE, datetime.max.replace(tzinfo=UTC) - DAYS_ASIDE
"""So far from the ends of the calendar that every time zone can show it."""


def check_texts(values: Mapping[str, Any]) -> None:
    """Raises :class:`ProblemDetails` 422 for a value of an address or a form that no database keeps (PostgreSQL's text has no NUL)."""
    for name, value in values.items():
        if isinstance(value, str) and not _can_be_kept(value):
            raise ProblemDetails(
                422, "invalid_request", f"{name if _can_be_kept(name) else 'a name'} contains a character that cannot be stored"
            )


def check_nul(body: bytes, value: msgspec.Struct, but: Collection[str] = ()) -> None:
    """Raises ``ValueError`` where a text of a value, which was read from this JSON, holds a NUL. ``but``: fields that may."""
    if ESCAPED_NUL not in body:
        return  # raw ones are no JSON
    for field in value.__struct_fields__:
        if field not in but and _holds_nul(msgspec.to_builtins(getattr(value, field))):
            raise ValueError(f"{field} contains a NUL character")


def is_utf8(body: bytes) -> bool:
    """Whether the bytes are UTF-8: reading JSON stops at the first field that is wrong, whatever comes after."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_moment(at: datetime) -> None:
    """Raises ``ValueError`` for a time that UTC's calendar does not have."""
    try:
        inside = EARLIEST <= at.astimezone(UTC) <= LATEST
    except OverflowError:
        inside = False
    if not inside:
        raise ValueError("the time is outside the calendar")


def _can_be_kept(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text))


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(one) for pair in value.items() for one in pair)
    return isinstance(value, list | tuple) and any(_holds_nul(one) for one in value)
