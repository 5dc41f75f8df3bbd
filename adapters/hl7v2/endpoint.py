"""MLLP endpoints: a port that EMRs connect to, or an address that we connect to.

Admission is decided when a connection is accepted and before TLS, so unknown peers cost little.

Some interface engines are servers in both directions: they send messages to the client that connects to them. Such a connection is
made again whenever it ends, after a wait that doubles up to :data:`LONGEST_WAIT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from adapters.base import AdapterError, Finding
from adapters.hl7v2.admission import Admission
from adapters.hl7v2.connection import Connection

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
HANDSHAKE = 10.0  # seconds for TLS
BACKLOG = 128
CHECK = 5.0
NO_ROOM = 0.1  # seconds until the next accept if the process has no file descriptors left
Address = tuple[str, int]
Refused = Callable[[str], None]
"""Called with the reason for each refused connection (``adapters.hl7v2.admission``)."""


class MllpEndpoint(Protocol):
    """Where connections come from. ``open`` returns when connections are possible and raises :class:`AdapterError` if they cannot be."""

    async def open(self, connection: Callable[[], Connection]) -> Address: ...

    def close(self) -> None: ...

    def check(self) -> Iterator[Finding]: ...

    def use_tls_of(self, other: Any) -> None: ...

    @property
    def max_connections(self) -> int: ...

    def limit_connections(self, connections: int) -> None: ...


class ListeningEndpoint:
    """Listens on a port. ``admission`` decides who may connect; ``refused`` is called for every other connection."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, admission: Admission, refused: Refused) -> None:
        self._address, self._tls, self._admission, self._refused = address, tls, admission, refused
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []

    async def open(self, connection: Callable[[], Connection]) -> Address:
        loop, (host, port) = asyncio.get_running_loop(), self._address
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, where in dict.fromkeys(found):
                self._sockets.append(socket.create_server(where[:2], family=family, backlog=BACKLOG))
        except OSError as error:
            self.close()
            raise AdapterError(f"cannot listen on {host}:{port}: {error.strerror}", permanent=True) from error
        for listening in self._sockets:
            listening.setblocking(False)
            self._accepting.append(loop.create_task(self._accept(listening, connection)))
        bound: Address = self._sockets[0].getsockname()[:2]
        return bound

    def use_tls_of(self, other: ListeningEndpoint) -> None:
        """Uses the certificate of another endpoint for new connections."""
        self._tls = other._tls

    @property
    def max_connections(self) -> int:
        """The maximum number of open connections."""
        return self._admission.max_connections

    def limit_connections(self, connections: int) -> None:
        """Lowers the maximum number of open connections."""
        self._admission.limit_connections(connections)

    def close(self) -> None:
        for task in self._accepting:
            task.cancel()
        for listening in self._sockets:
            listening.close()

    async def _accept(self, listening: socket.socket, connection: Callable[[], Connection]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(NO_ROOM)
                continue
            if why := self._admission.enter(peer[0]):
                accepted.close()
                self._refused(why)
                continue
            task = loop.create_task(self._connected(accepted, peer[0], connection()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connected(self, accepted: socket.socket, address: str, one: Connection) -> None:
        """Hands the connection over, after the TLS handshake if TLS is used, and waits until it ends."""
        loop, handshake = asyncio.get_running_loop(), HANDSHAKE if self._tls else None
        try:
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(lambda: one, accepted, ssl=self._tls, ssl_handshake_timeout=handshake)
                await one.ended.wait()
        finally:
            accepted.close()
            self._admission.leave(address)

    def check(self) -> Iterator[Finding]:
        host, port = self._address
        try:
            socket.create_server((host, port)).close()
        except OSError as error:
            yield Finding("listen", False, f"{host}:{port} cannot be used ({error.strerror}): stop the other listener, or change 'listen'")
        else:
            yield Finding("listen", True, f"{host}:{port} is available for listening{' (TLS)' if self._tls else ''}")


class ConnectingEndpoint:
    """Connects to a server. ``server_name`` is the name in its certificate if it differs from the host."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, server_name: str | None) -> None:
        self._address, self._tls = address, tls
        self._name = (server_name or address[0]) if tls else None
        self._task: asyncio.Task[None] | None = None

    async def open(self, connection: Callable[[], Connection]) -> Address:
        self._task = asyncio.get_running_loop().create_task(self._reconnect(connection))
        return self._address

    def use_tls_of(self, other: ConnectingEndpoint) -> None:
        """Uses the certificate and authority of another endpoint for the next connection."""
        self._tls, self._name = other._tls, other._name

    @property
    def max_connections(self) -> int:
        """Always one."""
        return 1

    def limit_connections(self, connections: int) -> None:
        """Has no effect: there is only one connection."""

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def check(self) -> Iterator[Finding]:
        host, port = self._address
        try:
            with socket.create_connection((host, port), CHECK) as plain:
                if self._tls is not None:
                    self._tls.wrap_socket(plain, server_hostname=self._name).close()
        except OSError as error:  # TLS errors are OSErrors, too
            yield Finding("connect", False, f"{host}:{port} cannot be reached ({_why(error)}): change 'connect', or start the server there")
        else:
            yield Finding("connect", True, f"{host}:{port} accepts connections{' (TLS)' if self._tls else ''}")

    async def _reconnect(self, connection: Callable[[], Connection]) -> None:
        """Keeps one connection open until the endpoint is closed."""
        wait = FIRST_WAIT
        while True:
            if await self._connect_once(connection):
                wait = FIRST_WAIT
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _connect_once(self, connection: Callable[[], Connection]) -> bool:
        """Connects and waits until the connection ends. Returns whether it succeeded."""
        loop, handshake = asyncio.get_running_loop(), HANDSHAKE if self._tls else None
        one = connection()
        with contextlib.suppress(OSError):
            await loop.create_connection(
                lambda: one, *self._address, ssl=self._tls, server_hostname=self._name, ssl_handshake_timeout=handshake
            )
            await one.ended.wait()
            return True
        return False


def _why(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__
