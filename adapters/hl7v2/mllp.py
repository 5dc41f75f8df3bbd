"""The MLLP listener: many connections, one queue, one group commit at a time.

The frames of all connections enter one queue in the order of arrival. A single task takes the waiting messages, passes them to
``ingest`` in one thread, and answers each message after ``ingest`` has returned. So an acknowledgement means that the message is
committed. Groups grow with the load. While the queue is full, connections are not read.

Senders do not wait for a store that hangs: after ``answer_within`` the group and the messages behind it are answered AR. If the group is
committed after all, the sender's second attempt changes nothing.

Duplicate messages (after a lost acknowledgement, or from a sender that retries too early, for example thousands of them in
github.com/nextgenhealthcare/connect issue 1314) need no record here. The store keeps the payloads of each patient
(``store.domain.duplicates``) in the transaction that applies them, so a duplicate changes nothing. Its acknowledgement depends only on the
message, so it is the same as the first one. A rejected message is processed again, because the mapping may have been fixed.

Options: ``listen`` (``host:port``) or ``connect`` (the same, for an EMR that is the server), ``tls`` (``adapters.hl7v2.tls``),
``ack`` (``adapters.hl7v2.ack``), ``sequence`` (MSH-13 is checked), ``max_message_bytes``, ``idle_timeout`` and ``frame_timeout`` (seconds,
0 for never), ``answer_within`` (seconds), ``max_connections``, ``max_connections_per_address``, ``peers`` (addresses and networks that may
connect), ``group_size``, and those of the mapper.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters import options as read_options
from adapters.address import address
from adapters.base import Finding, Ingest, Payload, SourceSettings, Unmappable
from adapters.hl7v2 import files, tls
from adapters.hl7v2.ack import Acknowledger
from adapters.hl7v2.admission import Admission, networks
from adapters.hl7v2.connection import Connection
from adapters.hl7v2.delivery import LATE, Delivery, Handled, Inbox, InboxMessage
from adapters.hl7v2.endpoint import Address, ConnectingEndpoint, ListeningEndpoint, MllpEndpoint
from adapters.hl7v2.framing import DEFAULT_LIMIT, Oversized, frame
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.notes import InMemoryNotes, Notes

GROUP = 500
GROUP_BYTES = 8 * 1024 * 1024
QUEUE = 4 * GROUP
QUEUE_BYTES = 64 * 1024 * 1024
CONNECTIONS, PER_ADDRESS = 256, 64
IDLE, FRAME = 3600.0, 30.0
ANSWER_WITHIN = 8.0  # seconds; senders wait ten or more (30 is typical, Infor Cloverleaf documentation)
HANGING = 1.0  # seconds between refusals while the store hangs, to slow down senders that retry at once
ERRORS_PER_REPORT, REPORT_WITHIN = 20, 1.0  # invalid frames per report, and the seconds that the first may wait for others
MAX_ERRORS = 1000  # maximum of unreported invalid frames: further ones are dropped, like their connections
DRAIN = 10.0  # seconds that a stop waits for peers to read their acknowledgements
ADOPTED = frozenset({"ack", "charset", "charset_fallback", "messages", "processing", "tls", "time_from"})
"""Options that may change while connections stay open. A changed certificate counts for new connections."""


class MllpListener:
    """Listens for one source. Callbacks and ``notes`` are set before ``serve``.

    ``on_frame_errors`` receives connections that had to be closed and messages with a wrong sequence number, as :class:`Unmappable` values
    with the received bytes, after a short delay and in the thread of ``ingest``. ``on_refused`` is called for each refused connection
    (``adapters.hl7v2.admission``), ``on_unavailable`` with the number of messages that were answered AR because they could not be handled.
    Both run in the listener's own thread and must return at once. ``notes`` store the last sequence number.
    """

    def __init__(self, settings: SourceSettings) -> None:
        options = settings.options
        self.mapper = Hl7Mapper(settings)
        self.on_frame_errors: Callable[[Sequence[Unmappable]], None] | None = None
        self.on_refused: Callable[[str], None] = _ignore
        self.on_unavailable: Callable[[int], None] = _ignore
        self.notes: Notes = InMemoryNotes()
        self.bound = threading.Event()
        self.address: Address | None = None
        self._name, self._options = settings.name, options
        self._endpoint = _endpoint(options, lambda why: self.on_refused(why))
        self._acknowledger = Acknowledger.from_options(options.get("ack") or {})
        self._in_sequence = bool(options.get("sequence", False))
        self._limit = int(options.get("max_message_bytes", DEFAULT_LIMIT))
        self._too_large = ("frame_too_large", f"the frame is larger than {self._limit} bytes (max_message_bytes): only its start was kept")
        self._idle = float(options.get("idle_timeout", IDLE))
        self._frame = float(options.get("frame_timeout", FRAME))
        self._answer_within = read_options.number(options, "answer_within", ANSWER_WITHIN, least=0.1, most=60)
        self._group = int(options.get("group_size", GROUP))
        self._inbox = Inbox(QUEUE, QUEUE_BYTES)
        self._errors: deque[Unmappable] = deque()
        self._report_by = 0.0
        self._connections: set[Connection] = set()
        self._numbers = itertools.count(1)
        self._stopping, self._closed = threading.Event(), False
        self._loop: asyncio.AbstractEventLoop | None = None

    def adopt(self, settings: SourceSettings) -> bool:
        """Takes over changed settings (``adapters.base.Adopts``): the mapping, acknowledgement codes and certificates."""
        if _kept(settings.options) != _kept(self._options):
            return False
        changed = MllpListener(settings)
        self._endpoint.use_tls_of(changed._endpoint)
        self.mapper, self._acknowledger, self._options = changed.mapper, changed._acknowledger, changed._options
        return True

    @property
    def connections(self) -> int:
        """The maximum number of open connections."""
        return self._endpoint.max_connections

    def limit_connections(self, connections: int) -> None:
        """Lowers the maximum number of connections if the process has too few file descriptors. Call before ``serve``."""
        self._endpoint.limit_connections(connections)

    def serve(self, ingest: Ingest) -> None:
        """Listens until :meth:`stop`. Raises :class:`AdapterError` when the address cannot be used."""
        _run(self._serve(ingest))

    def stop(self) -> None:
        """Stops, from any thread, without waiting: no new messages are accepted, received ones are answered, then ``serve`` returns."""
        self._stopping.set()
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                return  # the loop has ended in the meantime

    def payloads(self, path: Path) -> Iterator[Payload]:
        return files.payloads(path)

    def check(self) -> Iterator[Finding]:
        return self._endpoint.check()

    # Events of connections, called in the thread of the loop.

    def opened(self, connection: Connection) -> bool:
        if self._stopping.is_set():
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def received(self, connection: Connection, messages: Sequence[bytes]) -> bool:
        """Queues the messages. Returns false if the connection must not be read until the queue is shorter."""
        now = datetime.now(UTC)
        for body in messages:
            refused = self._too_large if isinstance(body, Oversized) else None
            locator = f"{self._name}:{connection.number}#{next(self._numbers)}"
            self._inbox.put(InboxMessage(connection, Payload(body, locator, now, refused=refused)))
        self._wake()
        return self._inbox.has_room

    def broken(self, connection: Connection, reason: str, detail: str, fragment: bytes) -> None:
        self._queue_error(Unmappable(reason, detail, f"{self._name}:{connection.number}", fragment))
        self._wake()

    def _wake(self) -> None:
        self._work.set()

    async def _serve(self, ingest: Ingest) -> None:
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        numbers = itertools.count(1)
        self.address = await self._endpoint.open(lambda: Connection(self, next(numbers), self._limit, self._idle, self._frame))
        self.bound.set()
        delivery = Delivery(ingest, self.notes if self._in_sequence else None, self._queue_error)
        with ThreadPoolExecutor(1, thread_name_prefix=f"ingest-{self._name}") as executor:
            await self._drain(delivery, executor)
        await self._close_connections()

    async def _drain(self, delivery: Delivery, executor: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._close_if_stopping()
            if self._errors and (not self._inbox or len(self._errors) >= ERRORS_PER_REPORT or time.monotonic() >= self._report_by):
                found = [self._errors.popleft() for _ in range(len(self._errors))]
                await self._wait_for(loop.run_in_executor(executor, _report_errors, self.on_frame_errors, found))
            elif self._inbox:
                group = self._inbox.group(self._group, GROUP_BYTES)
                delivered = loop.run_in_executor(executor, delivery.deliver, [one.payload for one in group])
                if await self._wait_for(delivered, group):
                    self._answer(group, delivered.result())
            elif self._stopping.is_set():
                return
            else:
                self._work.clear()
                if not self._stopping.is_set():
                    await self._work.wait()

    def _close_if_stopping(self) -> None:
        if self._stopping.is_set() and not self._closed:
            self._closed = True
            self._endpoint.close()
            for connection in self._connections:
                connection.pause()

    async def _wait_for(self, work: asyncio.Future[Any], group: Sequence[InboxMessage] = ()) -> bool:
        """Waits for the work. If it takes too long, the group and later messages are answered AR. Returns whether it was in time."""
        done, _ = await asyncio.wait({work}, timeout=self._answer_within)
        in_time = bool(done)
        while not done:
            self._close_if_stopping()
            waiting = [*group, *self._inbox.group(QUEUE, QUEUE_BYTES)]
            self._answer(waiting, [LATE] * len(waiting))
            group = ()
            done, _ = await asyncio.wait({work}, timeout=HANGING)
        return in_time

    def _queue_error(self, found: Unmappable) -> None:
        """Queues an error to be reported with others: each report is a commit, and one faulty sender must not slow the others."""
        if self.on_frame_errors is not None and len(self._errors) < MAX_ERRORS:
            if not self._errors:
                self._report_by = time.monotonic() + REPORT_WITHIN
            self._errors.append(found)

    def _answer(self, group: Sequence[InboxMessage], handled: Sequence[Handled]) -> None:
        now = datetime.now(UTC)
        for one, (answer, expected) in zip(group, handled, strict=True):
            self._inbox.answered(one)
            replies = self._acknowledger.replies(one.payload.body, answer, now, expected)
            one.connection.answer(b"".join([frame(reply) for reply in replies]))
        if unavailable := sum(one.failed for one in handled):
            self.on_unavailable(unavailable)
        if self._inbox.is_low and not self._stopping.is_set():
            for connection in self._connections:
                connection.resume()

    async def _close_connections(self) -> None:
        """Closes the connections once the last acknowledgements are sent."""
        for connection in tuple(self._connections):
            connection.close()
        deadline = asyncio.get_running_loop().time() + DRAIN
        while self._connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for connection in tuple(self._connections):
            connection.abort()


def _report_errors(listener: Callable[[Sequence[Unmappable]], None] | None, errors: Sequence[Unmappable]) -> None:
    try:
        if listener is not None:
            listener(errors)
    except Exception:
        return  # the connection is closed anyway; the callback does its own logging


def _ignore(_: object) -> None:
    """The default callback: does nothing."""


def _kept(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """What can only be changed with a new listener: everything but :data:`ADOPTED`, and whether there is TLS."""
    return {name: value for name, value in options.items() if name not in ADOPTED} | {"tls": bool(options.get("tls"))}


def _endpoint(options: Mapping[str, Any], refused: Callable[[str], None]) -> MllpEndpoint:
    secured = options.get("tls") or {}
    if bool(options.get("listen")) == bool(options.get("connect")):
        raise ValueError("write either 'listen' or 'connect', as 'host:port', for example listen: 127.0.0.1:2575")
    if options.get("listen"):
        return ListeningEndpoint(_address("listen", str(options["listen"])), tls.listening(secured), _admission(options), refused)
    return ConnectingEndpoint(_address("connect", str(options["connect"])), tls.connecting(secured), secured.get("server_name"))


def _admission(options: Mapping[str, Any]) -> Admission:
    most, per_address = int(options.get("max_connections", CONNECTIONS)), int(options.get("max_connections_per_address", PER_ADDRESS))
    return Admission(most, per_address, networks(read_options.listed(options, "peers")))


def _address(option: str, text: str) -> Address:
    try:
        return address(text)
    except ValueError as error:
        raise ValueError(f"{option} is {error}") from None


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Runs the loop in this thread, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
