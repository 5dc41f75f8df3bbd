"""Streamed responses, whose memory does not grow with their length: one is produced while it is sent, the other while its request is read.

The framework's own stream cannot be used: it listens for the end of the connection, which consumes the request's body.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

Answers = Callable[[AsyncIterator[bytes]], AsyncGenerator[bytes, None]]


class CallerDisconnected(Exception):
    """The caller closed the connection."""


class DuplexResponse(ASGIResponse):
    """A response that is written while its request is read. ``answers`` turns chunks of the request into chunks of the response.

    If it fails midway, the response is cut off, so that no caller takes it for complete. ``on_end`` is called at the end in any case.
    """

    def __init__(self, answers: Answers, media_type: str, on_end: Callable[[], None]) -> None:
        super().__init__(media_type=media_type)
        self.answers, self.kind, self.on_end = answers, media_type, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads and writes until either side ends."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", self.kind.encode())]})
            async with aclosing(self.answers(_chunks(receive))) as answers:
                async for chunk in answers:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except CallerDisconnected:
            return
        except Exception as error:
            log.error("a streamed response was cut off: %s", type(error).__name__)
            return
        finally:
            self.on_end()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise CallerDisconnected
        yield message["body"]
        if not message["more_body"]:
            return


log = logging.getLogger("emr_sync.web")
Bytes = Generator[bytes, None, None]


class GeneratorResponse(ASGIResponse):
    """A response from a generator, which runs in a worker thread and is advanced after each piece is sent.

    If it fails midway, the response is cut off, so that no caller takes it for complete. It ends early if the caller disconnects.
    """

    def __init__(self, pieces: Bytes, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(media_type=media_type)
        self.pieces = pieces
        self.head = [(b"content-type", media_type.encode()), *((name.encode(), value.encode()) for name, value in headers.items())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends all pieces, or until the caller disconnects."""
        disconnected = asyncio.create_task(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.head})
            while not disconnected.done() and (piece := await asyncio.to_thread(next, self.pieces, None)) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Exception as error:
            log.error("a streamed response was cut off: %s", type(error).__name__)
            return
        finally:
            disconnected.cancel()
            self.pieces.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    """Returns when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
