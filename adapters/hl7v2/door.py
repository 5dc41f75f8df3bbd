"""Where connections come from: a port that EMRs connect to, or an address that we connect to ourselves.

Some interface engines are servers on both ends: they hand out messages to whoever connects to them. The connection that we make
is made again whenever it ends, after a wait that doubles up to :data:`LONGEST_WAIT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Protocol

from adapters.base import AdapterError, Finding
from adapters.hl7v2.connection import Connection

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
HANDSHAKE = 10.0  # seconds for TLS
CHECK = 5.0
Address = tuple[str, int]


class Door(Protocol):
    """``open`` returns when connections can come; raises :class:`AdapterError` when they never will."""

    async def open(self, connection: Callable[[], Connection]) -> Address: ...

    def close(self) -> None: ...

    def check(self) -> Iterator[Finding]: ...


class Port:
    """We listen."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        self._address, self._tls = address, tls
        self._server: asyncio.Server | None = None

    async def open(self, connection: Callable[[], Connection]) -> Address:
        loop, handshake = asyncio.get_running_loop(), HANDSHAKE if self._tls else None
        try:
            server = await loop.create_server(connection, *self._address, ssl=self._tls, ssl_handshake_timeout=handshake)
        except OSError as error:
            host, port = self._address
            raise AdapterError(f"cannot listen on {host}:{port}: {error.strerror}", permanent=True) from error
        self._server = server
        bound: Address = server.sockets[0].getsockname()[:2]
        return bound

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def check(self) -> Iterator[Finding]:
        host, port = self._address
        try:
            socket.create_server((host, port)).close()
        except OSError as error:
            yield Finding("listen", False, f"{host}:{port} cannot be used ({error.strerror}): another listener has it, or mend 'listen'")
        else:
            yield Finding("listen", True, f"{host}:{port} is free to listen on{' (TLS)' if self._tls else ''}")


class Dial:
    """We connect. ``server_name`` is the name in their certificate, where it is not the host."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None, server_name: str | None) -> None:
        self._address, self._tls = address, tls
        self._name = (server_name or address[0]) if tls else None
        self._task: asyncio.Task[None] | None = None

    async def open(self, connection: Callable[[], Connection]) -> Address:
        self._task = asyncio.get_running_loop().create_task(self._keep(connection))
        return self._address

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
            yield Finding("connect", False, f"{host}:{port} cannot be reached ({_why(error)}): mend 'connect', or start what listens there")
        else:
            yield Finding("connect", True, f"{host}:{port} answers{' (TLS)' if self._tls else ''}")

    async def _keep(self, connection: Callable[[], Connection]) -> None:
        """One connection at a time, for as long as the door is open."""
        wait = FIRST_WAIT
        while True:
            if await self._once(connection):
                wait = FIRST_WAIT
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _once(self, connection: Callable[[], Connection]) -> bool:
        """Connects and stays until the connection ends; whether there was one."""
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
