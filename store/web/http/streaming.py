"""Streamed responses, so that memory does not grow with their length: one read from the store while it is sent, and one written
while its request is still being read.

The framework's own stream listens for the end of the connection in the meantime, which consumes the request's body.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

Answers = Callable[[AsyncIterator[bytes]], AsyncGenerator[bytes, None]]


class Gone(Exception):
    """The caller closed the connection."""


class Duplex(ASGIResponse):
    """``answers`` turns the chunks of the request into those of the response.

    When it fails midway the response is cut off, so that no caller takes a part for the whole. ``ended`` is called when it is over.
    """

    def __init__(self, answers: Answers, media_type: str, ended: Callable[[], None]) -> None:
        super().__init__(media_type=media_type)
        self.answers, self.kind, self.ended = answers, media_type, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads and writes until either side is done."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", self.kind.encode())]})
            async with aclosing(self.answers(_chunks(receive))) as answers:
                async for chunk in answers:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except Gone:
            return
        except Exception as error:
            log.error("a streamed response was cut off: %s", type(error).__name__)
            return
        finally:
            self.ended()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        yield message["body"]
        if not message["more_body"]:
            return


log = logging.getLogger("emr_sync.web")
Bytes = Generator[bytes, None, None]


class Pieces(ASGIResponse):
    """``pieces`` is asked for the next one, off the event loop, when the one before was sent.

    When it fails midway the response is cut off, so that no caller takes a part for the whole; it ends early when the caller goes.
    """

    def __init__(self, pieces: Bytes, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(media_type=media_type)
        self.pieces = pieces
        self.head = [(b"content-type", media_type.encode()), *((name.encode(), value.encode()) for name, value in headers.items())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends everything, or until the caller goes."""
        left = asyncio.create_task(_left(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.head})
            while not left.done() and (piece := await asyncio.to_thread(next, self.pieces, None)) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Exception as error:
            log.error("a streamed response was cut off: %s", type(error).__name__)
            return
        finally:
            left.cancel()
            self.pieces.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    """Returns when the caller closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
