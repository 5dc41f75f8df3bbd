"""A small blocking MLLP client: one message, one acknowledgement. For opt-outs that are written to EMRs, and for tests."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType

from adapters.hl7v2.framing import Deframer, frame


class MllpClient:
    """A connection to an MLLP listener. ``timeout`` (seconds) applies to connecting and to each wait.

    ``server_name``: the name in the listener's certificate, if it is not ``host``.
    """

    def __init__(self, host: str, port: int, timeout: float = 10.0, tls: ssl.SSLContext | None = None, server_name: str = "") -> None:
        plain = socket.create_connection((host, port), timeout)
        try:
            self._socket = tls.wrap_socket(plain, server_hostname=server_name or host) if tls else plain
        except OSError:
            plain.close()
            raise
        self._deframer = Deframer()
        self._waiting: list[bytes] = []

    def send(self, message: bytes) -> bytes:
        """Sends a message and waits for its acknowledgement. ``ConnectionError`` if the listener closes the connection instead."""
        self.write(frame(message))
        return self.receive()

    def write(self, data: bytes) -> None:
        """Sends bytes unchanged: part of a frame, several frames, or invalid data."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """The next acknowledgement. ``TimeoutError`` if none arrives, ``ConnectionError`` if the listener closes the connection."""
        while not self._waiting:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise ConnectionError("the listener closed the connection")
            self._waiting += self._deframer.feed(chunk)
            if self._deframer.error is not None:
                raise self._deframer.error
        return self._waiting.pop(0)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> MllpClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
