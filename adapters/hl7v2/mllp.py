"""The MLLP listener: many connections, one queue, one group commit at a time.

Frames of all connections go into one queue in the order of arrival. A single drain takes whatever is there, hands it to
``ingest`` in one thread and answers each message when ``ingest`` has returned, so an acknowledgement means that the message
is committed. The busier it gets, the larger the groups. When the queue is full, connections are not read any more.

Options: ``listen`` (``host:port``), ``max_message_bytes``, ``idle_timeout`` (seconds, 0 for never), ``max_connections``,
``group_size``, and those of the mapper.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.base import AdapterError, Answer, Finding, Ingest, Payload, SourceSettings, Unmappable
from adapters.hl7v2 import files
from adapters.hl7v2.ack import acknowledge
from adapters.hl7v2.connection import Connection
from adapters.hl7v2.framing import DEFAULT_LIMIT, frame
from adapters.hl7v2.mapping import Hl7Mapper

GROUP = 500
QUEUE = 4 * GROUP
QUEUE_BYTES = 64 * 1024 * 1024
CONNECTIONS = 256
IDLE = 3600.0
DRAIN = 10.0  # seconds that a stop waits for acknowledgements to be taken
NOT_HANDLED = Answer("unavailable", "not_handled", "the message cannot be handled now; nothing of it was kept: send it again")


class MllpListener:
    """Listens for one source. ``on_frame_error`` may be set before ``serve``; it is told of each connection that had to be
    closed, as an :class:`Unmappable` that holds the bytes, in the same thread as ``ingest``.
    """

    def __init__(self, settings: SourceSettings) -> None:
        options = settings.options
        self.mapper = Hl7Mapper(settings)
        self.on_frame_error: Callable[[Unmappable], None] | None = None
        self.bound = threading.Event()
        self.address: tuple[str, int] | None = None
        self._name = settings.name
        self._listen = _address(str(options.get("listen") or ""))
        self._limit = int(options.get("max_message_bytes", DEFAULT_LIMIT))
        self._idle = float(options.get("idle_timeout", IDLE))
        self._max_connections = int(options.get("max_connections", CONNECTIONS))
        self._group = int(options.get("group_size", GROUP))
        self._queue: deque[tuple[Connection, Payload]] = deque()
        self._queued_bytes = 0
        self._errors: deque[Unmappable] = deque()
        self._connections: set[Connection] = set()
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve(self, ingest: Ingest) -> None:
        """Listens until :meth:`stop`. Raises :class:`AdapterError` when the address cannot be used."""
        _run(self._serve(ingest))

    def stop(self) -> None:
        """From any thread, at once: no new messages; what has arrived is handled and answered, then ``serve`` returns."""
        self._stopping.set()
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                return  # the loop has ended by itself in between

    def payloads(self, path: Path) -> Iterator[Payload]:
        return files.payloads(path)

    def check(self) -> Iterator[Finding]:
        host, port = self._listen
        try:
            socket.create_server((host, port)).close()
        except OSError as error:
            yield Finding("listen", False, f"{host}:{port} cannot be used ({error.strerror}): another listener has it, or mend 'listen'")
        else:
            yield Finding("listen", True, f"{host}:{port} is free to listen on")

    # What connections tell us, in the thread of the loop.

    def opened(self, connection: Connection) -> bool:
        if len(self._connections) >= self._max_connections or self._stopping.is_set():
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def received(self, connection: Connection, messages: Sequence[bytes]) -> bool:
        """Takes the messages; false when the connection shall not be read until the queue is shorter."""
        now = datetime.now(UTC)
        for body in messages:
            self._queued_bytes += len(body)
            self._queue.append((connection, Payload(body, f"{self._name}:{connection.number}#{next(self._numbers)}", now)))
        self._wake()
        return len(self._queue) < QUEUE and self._queued_bytes < QUEUE_BYTES

    def broken(self, connection: Connection, reason: str, detail: str, fragment: bytes) -> None:
        if self.on_frame_error is not None:
            self._errors.append(Unmappable(reason, detail, f"{self._name}:{connection.number}", fragment))
            self._wake()

    def _wake(self) -> None:
        self._work.set()

    async def _serve(self, ingest: Ingest) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        numbers = itertools.count(1)
        try:
            server = await loop.create_server(lambda: Connection(self, next(numbers), self._limit, self._idle), *self._listen)
        except OSError as error:
            host, port = self._listen
            raise AdapterError(f"cannot listen on {host}:{port}: {error.strerror}", permanent=True) from error
        self.address = server.sockets[0].getsockname()[:2]
        self.bound.set()
        with ThreadPoolExecutor(1, thread_name_prefix=f"ingest-{self._name}") as executor:
            await self._drain(ingest, executor, server)
        await self._hang_up()

    async def _drain(self, ingest: Ingest, executor: ThreadPoolExecutor, server: asyncio.Server) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._stopping.is_set() and server.is_serving():
                server.close()
                for connection in self._connections:
                    connection.pause()
            if self._errors and self.on_frame_error is not None:
                await loop.run_in_executor(executor, _tell, self.on_frame_error, self._errors.popleft())
            elif self._queue:
                group = [self._queue.popleft() for _ in range(min(self._group, len(self._queue)))]
                answers = await loop.run_in_executor(executor, _answers, ingest, [payload for _, payload in group])
                self._answer(group, answers)
            elif self._stopping.is_set():
                return
            else:
                self._work.clear()
                if not self._stopping.is_set():
                    await self._work.wait()

    def _answer(self, group: Sequence[tuple[Connection, Payload]], answers: Sequence[Answer]) -> None:
        now = datetime.now(UTC)
        for (connection, payload), answer in zip(group, answers, strict=True):
            self._queued_bytes -= len(payload.body)
            reply = acknowledge(payload.body, answer, secrets.token_hex(8), now)
            connection.answer(b"" if reply is None else frame(reply))
        if len(self._queue) < QUEUE // 2 and self._queued_bytes < QUEUE_BYTES // 2 and not self._stopping.is_set():
            for connection in self._connections:
                connection.resume()

    async def _hang_up(self) -> None:
        """Closes connections once the last acknowledgements are taken."""
        for connection in tuple(self._connections):
            connection.close()
        deadline = asyncio.get_running_loop().time() + DRAIN
        while self._connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for connection in tuple(self._connections):
            connection.abort()


def _answers(ingest: Ingest, payloads: Sequence[Payload]) -> Sequence[Answer]:
    """The answers of ``ingest``; when it fails, nothing is committed, so the senders shall try again."""
    try:
        answers = ingest(payloads)
    except Exception:
        return [NOT_HANDLED] * len(payloads)
    return answers if len(answers) == len(payloads) else [NOT_HANDLED] * len(payloads)


def _tell(listener: Callable[[Unmappable], None], error: Unmappable) -> None:
    try:
        listener(error)
    except Exception:
        return  # the connection is closed all the same; whoever listens keeps its own log


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("listen must be 'host:port', for example 127.0.0.1:2575")
    return host.strip("[]"), int(port)


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Runs the loop in this thread, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
