"""Reads whole request bodies within a time limit, so that a slow sender cannot hold a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Request

from store.web.http.problem import ProblemDetails

LONGEST_SECONDS = 30.0


async def whole(request: Request[Any, Any, Any], seconds: float = LONGEST_SECONDS) -> bytes:
    """The body. Raises :class:`ProblemDetails` 408 if it takes too long to arrive."""
    try:
        async with asyncio.timeout(seconds):
            return await request.body()
    except TimeoutError:
        raise _late(seconds) from None


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
