"""Streamed responses, whose memory does not grow with their length: read from the store while they are sent, or written while the request
is still being read.

The framework's own stream cannot be used: it listens for the end of the connection, which consumes the request's body.
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


class CallerDisconnected(Exception):
    """The caller closed the connection."""


def _nothing() -> None:
    pass


class StreamedResponse(ASGIResponse):
    """A response in chunks. ``chunks`` may read the request meanwhile.

    If it fails midway, the response is cut off, so that no caller takes it for complete. It ends early if the caller disconnects.
    ``on_end`` is called at the end in any case.
    """

    def __init__(
        self,
        chunks: Chunks,
        media_type: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        on_end: Callable[[], None] = _nothing,
    ) -> None:
        super().__init__(media_type=media_type)
        self.chunks, self.on_end = chunks, on_end
        self.head = [(b"content-type", media_type.encode()), *((name.encode(), value.encode()) for name, value in headers.items())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends all chunks, or until the caller disconnects."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.head})
            async with aclosing(self.chunks(receive)) as chunks:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except CallerDisconnected:
            return
        except Exception as error:
            log.error("a streamed response was cut off: %s", type(error).__name__)
            return
        finally:
            self.on_end()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def received(receive: Receive) -> AsyncIterator[bytes]:
    """The chunks of a request. Raises :class:`CallerDisconnected`."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise CallerDisconnected
        yield message["body"]
        if not message["more_body"]:
            return


async def read_in_threads(chunks: Generator[bytes, None, None], receive: Receive) -> AsyncGenerator[bytes, None]:
    """The chunks of a generator that runs in a worker thread and is advanced after each one is sent."""
    disconnected = asyncio.create_task(_disconnected(receive))
    try:
        while not disconnected.done() and (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk
    finally:
        disconnected.cancel()
        chunks.close()


async def _disconnected(receive: Receive) -> None:
    """Returns when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
