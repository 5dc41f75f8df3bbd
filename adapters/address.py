"""Where something listens. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+(%\w+)?")


class Address(NamedTuple):
    """Where to listen. Port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(value: object) -> Address:
    """``127.0.0.1:8080`` or ``[::1]:8080``."""
    host, colon, port = str(value).rpartition(":")
    host = host.strip("[]")
    if not colon or not HOST.fullmatch(host) or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError("not an address; write host:port, like 127.0.0.1:8080")
    return Address(host, int(port))
