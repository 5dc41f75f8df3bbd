"""One POST to a sender's webhook endpoint: to the address that was checked, over TLS, never a redirect, and never for long.

The name is resolved once and every address is checked before the connection is made to one of them, so that a name server cannot send
the request into this network afterwards (server-side request forgery).
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from adapters.http.headers import retry_after_seconds

TIMEOUT = 15.0  # seconds for each step
LONGEST = 20.0  # seconds for all of it
UNICAST = IPv6Network("2000::/3")
"""All IPv6 addresses of the public internet (RFC 4291 2.4). Outside are also those that translators lead to IPv4 addresses."""
TUNNELS = tuple(IPv6Network(one) for one in ("2002::/16", "2001::/32"))
"""Addresses inside it that lead to an IPv4 address, too."""


class PostResult(NamedTuple):
    """What an endpoint answered. ``status`` 0: nothing, and ``failure`` says why, without an address."""

    status: int
    failure: str = ""
    retry_after: float | None = None


Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system knows them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def post(
    url: str, headers: Mapping[str, str], body: bytes, now: datetime, *, private: bool = False, ca: str = "", resolve: Resolve = resolve
) -> PostResult:
    """The answer to one request. Never raises. ``private``: the address may be one of this network. ``ca``: certificates (PEM) to trust
    in addition to the public ones.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        addresses = resolve(host, port)
        if not addresses or not (private or all(map(is_public, addresses))):
            return PostResult(0, "the name resolves to an address that is not public; set 'private: true' if that is intended")
        connection = _Pinned(host, port, addresses[0], _context(ca) if parts.scheme == "https" else None)
        with _ended_after(LONGEST, connection):
            connection.request("POST", path, body, dict(headers))
            response: HTTPResponse = connection.getresponse()
            return PostResult(response.status, "", retry_after_seconds(response.headers.get("Retry-After"), now))
    except (OSError, HTTPException, ValueError) as error:
        return PostResult(0, type(error).__name__)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet."""
    found = ip_address(address.partition("%")[0])
    if found.version == 6:
        found = found.ipv4_mapped or found
    is_outside = found.version == 6 and (found not in UNICAST or any(found in one for one in TUNNELS))
    return found.is_global and not found.is_multicast and not is_outside


def _context(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context


class _Pinned(HTTPConnection):
    """A connection to one address, which must prove to be the host."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=TIMEOUT)
        self._address, self._context = address, context
        self.default_port = 80 if context is None else 443

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


@contextmanager
def _ended_after(seconds: float, connection: HTTPConnection) -> Iterator[None]:
    """Closes the connection when the block is over, or when the time is: a peer may send a byte at a time."""

    def end() -> None:
        with suppress(OSError):  # it may just have ended by itself
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        connection.close()
