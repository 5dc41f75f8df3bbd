"""What an adapter's own settings are made of: groups, and the kinds that are written as one word. Pure.

Each protocol's settings are in its ``schema``. A configuration is checked by them once, and every error names its line and its fix.
"""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from adapters.address import HOST, address


class SettingsGroup(BaseModel):
    """A group of settings. Unknown ones are errors: a misspelt setting must not be silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*")


def duration(value: object) -> timedelta:
    """``90s``, ``15m``, ``26h``, ``1.5d``."""
    if isinstance(value, timedelta):
        return value
    match = DURATION.fullmatch(str(value))
    if not match or float(match[1]) == 0:
        raise ValueError("not a duration; write a number above 0 with s, m, h or d, like 15m")
    return timedelta(**{UNITS[match[2]]: float(match[1])})


def duration_or_never(value: object) -> timedelta:
    """A duration, or ``0`` for never."""
    return timedelta(0) if value == "0" else duration(value)


def duration_or_forever(value: object) -> timedelta | None:
    """A duration, or ``forever``."""
    return None if value is None or value == "forever" else duration(value)


def web_address(value: object) -> str:
    """``https://host/path``: a server and a path. A user or a password in it would be a secret that is shown."""
    text = str(value)
    if any(one.isspace() or not one.isprintable() for one in text):
        raise ValueError("contains a space; remove it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("not a server address; write https://host:port/path") from None
    if parts.scheme not in ("http", "https") or not HOST.fullmatch(parts.hostname or "") or port == 0:
        raise ValueError("not a server address; write https://host/path")
    if parts.username is not None or parts.fragment:
        raise ValueError("contains a user or a fragment; write https://host/path, and put credentials in 'auth'")
    return text


def host_name(value: object) -> str:
    """A name or an IP address, without a port."""
    if not HOST.fullmatch(str(value)):
        raise ValueError("not a host name; write it without spaces, scheme or path, and the port in 'port'")
    return str(value)


def peer(value: object) -> str:
    """``10.1.2.3`` or ``10.1.2.0/24``."""
    try:
        return str(ip_network(str(value).strip()))
    except ValueError:
        raise ValueError("not an IP address or network; write it like 10.1.2.3 or 10.1.2.0/24") from None


def listen(value: object) -> str:
    """Like :func:`address`, kept as text, for adapters."""
    address(value)
    return str(value)


Duration = Annotated[timedelta, BeforeValidator(duration)]
DurationOrForever = Annotated[timedelta | None, BeforeValidator(duration_or_forever)]
DurationOrNever = Annotated[timedelta, BeforeValidator(duration_or_never)]
Peer = Annotated[str, BeforeValidator(peer)]
ListenText = Annotated[str, BeforeValidator(listen)]
HostName = Annotated[str, BeforeValidator(host_name)]
WebAddress = Annotated[str, BeforeValidator(web_address)]
Seconds = Annotated[Duration, PlainSerializer(lambda value: value.total_seconds(), return_type=float)]
SecondsOrNever = Annotated[DurationOrNever, PlainSerializer(lambda value: value.total_seconds(), return_type=float)]
SecondsOrForever = Annotated[
    DurationOrForever, PlainSerializer(lambda value: None if value is None else value.total_seconds(), return_type=float | None)
]
OneOrMore = Annotated[int, Field(ge=1)]
OneOrSeveral = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
