"""Reads whole request bodies within a time limit, so that a slow sender cannot hold a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Request
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Receive

from store.web.http.answer import Headers, first
from store.web.http.problem import ProblemDetails
from store.web.http.streaming import CallerDisconnected

MOST_BYTES = 1024 * 1024
"""Of any body except a batch."""
LONGEST_SECONDS = 30.0


async def whole(request: Request[Any, Any, Any], seconds: float = LONGEST_SECONDS) -> bytes:
    """The body. Raises :class:`ProblemDetails` 408 if it takes too long to arrive."""
    try:
        async with asyncio.timeout(seconds):
            return await request.body()
    except TimeoutError:
        raise _late(seconds) from None


async def plain(headers: Headers, receive: Receive) -> bytes:
    """The same for a request that did not pass the framework, with the framework's limit and error. Raises ``CallerDisconnected``."""
    if int(first(headers, b"content-length") or 0) > MOST_BYTES:
        raise RequestEntityTooLarge
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise CallerDisconnected
                body += message["body"]
                more = message["more_body"]
                if len(body) > MOST_BYTES:
                    raise RequestEntityTooLarge
    except TimeoutError:
        raise _late(LONGEST_SECONDS) from None
    return bytes(body)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raises :class:`ProblemDetails` 408 if the block takes longer. Closes the connection: the rest of the body may still arrive."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _late(seconds) from None


def _late(seconds: float) -> ProblemDetails:
    return ProblemDetails(408, "request_timeout", f"the body did not arrive within {seconds:.0f} seconds", {"Connection": "close"})
