"""Refuses input that the database cannot store: NUL, lone surrogates, and times outside the calendar."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from store.web.http.problem import ProblemDetails

ESCAPED_NUL = b"\\u0000"
DAYS_ASIDE = timedelta(days=2)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC) + DAYS_ASIDE, datetime.max.replace(tzinfo=UTC) - DAYS_ASIDE
"""The calendar without its first and last days, so that every time zone can show each time."""


def check_texts(values: Mapping[str, Any]) -> None:
    """Raises :class:`ProblemDetails` 422 for a value of a URL or a form that cannot be stored (PostgreSQL's text has no NUL)."""
    for name, value in values.items():
        if isinstance(value, str) and not _can_be_stored(value):
            raise ProblemDetails(
                422, "invalid_request", f"{name if _can_be_stored(name) else 'a name'} contains a character that cannot be stored"
            )


def check_nul(body: bytes, value: msgspec.Struct, except_fields: Collection[str] = ()) -> None:
    """Raises ``ValueError`` if a text in ``value``, which was decoded from ``body``, contains NUL. ``except_fields`` may."""
    if ESCAPED_NUL not in body:
        return  # an unescaped NUL is not valid JSON
    for field in value.__struct_fields__:
        if field not in except_fields and _contains_nul(msgspec.to_builtins(getattr(value, field))):
            raise ValueError(f"{field} contains a NUL character")


def is_utf8(body: bytes) -> bool:
    """Whether the body is UTF-8. Needed since decoding JSON stops at the first wrong field and does not check the rest."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_time(at: datetime) -> None:
    """Raises ``ValueError`` for a time outside the calendar in UTC."""
    try:
        inside = EARLIEST <= at.astimezone(UTC) <= LATEST
    except OverflowError:
        inside = False
    if not inside:
        raise ValueError("the time is outside the calendar")


def _can_be_stored(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text))


def _contains_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_contains_nul(one) for pair in value.items() for one in pair)
    return isinstance(value, list | tuple) and any(_contains_nul(one) for one in value)
