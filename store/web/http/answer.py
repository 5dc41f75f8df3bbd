"""Whole answers over plain ASGI, and the headers that every answer has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from litestar.types import Send

Headers = Iterable[tuple[bytes, bytes]]
"""The headers of a request as ASGI has them: names in lower case."""
STRICT = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Against caching (responses are about patients) and content sniffing."""


async def send_whole(send: Send, status: int, media: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
    """Sends one answer: its own headers first, as the framework does."""
    own = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    size = str(len(body)).encode()
    head = [*own, (b"content-type", media.encode()), (b"content-length", size), *STRICT]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def first(headers: Headers, name: bytes) -> str:
    """The first header of that name; empty if there is none."""
    for one, value in headers:
        if one == name:
            return value.decode("latin-1")
    return ""
