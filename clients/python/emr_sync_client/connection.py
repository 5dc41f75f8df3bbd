"""HTTP to the service: one connection per thread, kept open, never a redirect, never a body beyond bounds."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MOST_BYTES = 64 * 1024 * 1024
MOST_IN_LINE = 1024 * 1024
FAILURES = (OSError, HTTPException, ValueError, RecursionError)
"""Everything that may go wrong between a question and its answer. ``ValueError`` includes JSON that cannot be read."""


class Reply(NamedTuple):
    """A status and the JSON that came with it; ``None`` for any other body than that of a success."""

    status: int
    value: Any


class Connection:
    """One service. Thread-safe. Raises one of :data:`FAILURES`."""

    def __init__(self, base_url: str, key: str, timeout: float, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must be a URL like https://contact.example:8080")
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._context = context or ssl.create_default_context() if parts.scheme == "https" else None
        self._timeout, self._local = timeout, threading.local()
        self._open: set[HTTPConnection] = set()

    def call(self, method: str, path: str, value: Any = None, wait: float = 0) -> Reply:
        """One request. ``wait``: seconds for which the service may hold it back. A closed idle connection is opened again, once."""
        body = None if value is None else json.dumps(value).encode()
        if getattr(self._local, "connection", None) is not None:
            try:
                return self._exchange(method, path, body, wait)
            except (ConnectionError, HTTPException):
                self.close()
        self._local.connection = self._opened()
        return self._exchange(method, path, body, wait)

    def stream(self, path: str, groups: Iterable[Sequence[Any]]) -> Iterator[list[Any]]:
        """One request of many lines (NDJSON), on a connection of its own: yields the answers to each group before the next one is sent.

        So neither side waits for the other, and memory stays flat. Raises one of :data:`FAILURES`; a stream that ends early is one.
        """
        connection = self._opened()
        try:
            connection.putrequest("POST", self._prefix + path)
            for name, text in (self._headers | {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}).items():
                connection.putheader(name, text)
            connection.endheaders()
            socket, response = connection.sock, None
            for group in groups:
                lines = b"".join(json.dumps(one).encode() + b"\n" for one in group)
                socket.sendall(b"%x\r\n%s\r\n" % (len(lines), lines))
                response = response or _good(connection.getresponse())
                yield [json.loads(response.readline(MOST_IN_LINE)) for _ in group]
            socket.sendall(b"0\r\n\r\n")
        finally:
            self._open.discard(connection)
            connection.close()

    def close(self) -> None:
        """Closes this thread's connection; the next request opens another."""
        connection: HTTPConnection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            self._open.discard(connection)
            connection.close()

    def close_all(self) -> None:
        """Closes the connections of all threads, which must have ended."""
        while self._open:
            self._open.pop().close()

    def _opened(self) -> HTTPConnection:
        if self._context is not None:
            found: HTTPConnection = HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context)
        else:
            found = HTTPConnection(self._host, self._port, timeout=self._timeout)
        self._open.add(found)
        return found

    def _exchange(self, method: str, path: str, body: bytes | None, wait: float) -> Reply:
        connection: HTTPConnection = self._local.connection
        connection.timeout = self._timeout + wait
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        connection.request(method, self._prefix + path, body, self._headers)
        response = connection.getresponse()
        text = response.read(MOST_BYTES)
        return Reply(response.status, json.loads(text) if response.status == 200 else None)


def _good(response: HTTPResponse) -> HTTPResponse:
    """The response, if it is a success. Raises ``ValueError``."""
    if response.status != 200:
        raise ValueError("the service did not accept the stream")
    return response
