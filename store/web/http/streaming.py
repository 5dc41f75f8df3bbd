"""A streamed response, so that memory does not grow with its length: what it sends is read from the store while it is sent, or answers
a request that is still being read.

The framework's own stream listens for the end of the connection in the meantime, which consumes the request's body.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing
from types import MappingProxyType

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

log = logging.getLogger("emr_sync.web")
Chunks = Callable[[Receive], AsyncGenerator[bytes, None]]


class Gone(Exception):
    """The caller closed the connection."""


def _nothing() -> None:
    pass


class StreamedResponse(ASGIResponse):
    """``chunks`` of the response, which may read the request meanwhile.

    When it fails midway the response is cut off, so that no caller takes a part for the whole; it ends early when the caller goes.
    ``ended`` is called when it is over.
    """

    def __init__(
        self,
        chunks: Chunks,
        media_type: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        ended: Callable[[], None] = _nothing,
    ) -> None:
        super().__init__(media_type=media_type)
        self.chunks, self.ended = chunks, ended
        self.head = [(b"content-type", media_type.encode()), *((name.encode(), value.encode()) for name, value in headers.items())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends everything, or until either side is done."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.head})
            async with aclosing(self.chunks(receive)) as chunks:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except Gone:
            return
        except Exception as error:
            log.error("a streamed response was cut off: %s", type(error).__name__)
            return
        finally:
            self.ended()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def received(receive: Receive) -> AsyncIterator[bytes]:
    """The chunks of a request. Raises :class:`Gone`."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        yield message["body"]
        if not message["more_body"]:
            return


async def read_in_threads(chunks: Generator[bytes, None, None], receive: Receive) -> AsyncGenerator[bytes, None]:
    """Each of the chunks, asked for off the event loop when the one before was sent."""
    left = asyncio.create_task(_left(receive))
    try:
        while not left.done() and (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk
    finally:
        left.cancel()
        chunks.close()


async def _left(receive: Receive) -> None:
    """Returns when the caller closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
