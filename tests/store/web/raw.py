"""A connection that shows answers byte for byte, and requests that are written byte for byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.store.web.conftest import LINE, Service

ASK = {"patient": {"authority": "GENHOSP", "value": "MRN1"}, "message_type": "broadcast", "channels": ["sms", "voice"], "line": LINE}
BODY = json.dumps(ASK).encode()


class Raw:
    """A connection that shows answers as they came, without the server's own headers."""

    def __init__(self, service: Service) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=30)
        self.reader = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def answer(self, has_body: bool = True) -> bytes:
        head, size = b"", 0
        while not head.endswith(b"\r\n\r\n"):
            line = self.reader.readline()
            assert line, head
            size = int(line.split(b":")[1]) if line.lower().startswith(b"content-length:") else size
            head += b"" if line.lower().startswith((b"date:", b"server:")) else line
        return head + (self.reader.read(size) if has_body else b"")

    def close(self) -> None:
        self.reader.close()
        self.socket.close()


@contextmanager
def connected(service: Service) -> Iterator[Raw]:
    raw = Raw(service)
    try:
        yield raw
    finally:
        raw.close()


def asked(
    key: str | None,
    body: bytes = BODY,
    *headers: str,
    method: str = "POST",
    path: str = "/v1/decisions",
    version: str = "1.1",
    announced: bool = True,
) -> bytes:
    """One request. ``key`` is what follows ``Authorization:``."""
    lines = [f"{method} {path} HTTP/{version}", "host: x", *headers]
    lines += [] if key is None else [f"authorization: {key}"]
    lines += [f"content-length: {len(body)}"] if announced else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def bearer(service: Service) -> str:
    return f"Bearer {service.token('general', 'sender')}"
