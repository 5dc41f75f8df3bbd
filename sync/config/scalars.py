"""The kinds of setting that are written as one word: durations, addresses, cron lines, time zones, attributes.

What every group of settings is.
"""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict

from store.domain.attributes import ATTRIBUTES
from store.preference import Channel
from store.runs.encryption import read_key
from sync.config.address import Address as Address


class SettingsGroup(BaseModel):
    """A group of settings. Unknown ones are errors: a misspelt setting must not be silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*")
CHANNELS = "|".join(Channel)
HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+(%\w+)?")
OPEN_ATTRIBUTE = re.compile(rf"topic\.[^.\s]+\.({CHANNELS})|consent\.({CHANNELS})#\+\d{{6,15}}")
OPEN_RULE = re.compile(r"topic\.[^.\s]+\.\*|consent\.\*|consent\.(sms|voice)#\*")


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


def address(value: object) -> Address:
    """``127.0.0.1:8080`` or ``[::1]:8080``."""
    host, colon, port = str(value).rpartition(":")
    host = host.strip("[]")
    if not colon or not HOST.fullmatch(host) or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError("not an address; write host:port, like 127.0.0.1:8080")
    return Address(host, int(port))


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


def network(value: object) -> str:
    """An IP address, or a network of them: ``10.0.0.7``, ``10.0.0.0/24``."""
    try:
        return str(ip_network(str(value)) if "/" in str(value) else ip_address(str(value)))
    except ValueError:
        raise ValueError("not an IP address or network; write it like 10.0.0.7 or 10.0.0.0/24") from None


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


def time_zone(value: object) -> str:
    """An IANA name."""
    try:
        ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {value!r}; use an IANA name, like America/Chicago") from None
    return str(value)


def region(value: object) -> str:
    """An ISO 3166-1 country code."""
    text = str(value)
    if not (len(text) == 2 and text.isascii() and text.isalpha()):
        raise ValueError("not a country code; use two letters, like US")
    return text.upper()


def is_attribute(name: str) -> bool:
    """Whether this attribute can be stated."""
    return name in ATTRIBUTES or OPEN_ATTRIBUTE.fullmatch(name) is not None


def is_mapped(name: str) -> bool:
    """Whether a mapping may have a rule of this name: an attribute, a list of channels, a consent at each number."""
    return is_attribute(name) or OPEN_RULE.fullmatch(name) is not None


def payload_key(value: object) -> bytes:
    """A key for payloads."""
    return read_key(str(value))


Duration = Annotated[timedelta, BeforeValidator(duration)]
DurationOrForever = Annotated[timedelta | None, BeforeValidator(duration_or_forever)]
DurationOrNever = Annotated[timedelta, BeforeValidator(duration_or_never)]
Listen = Annotated[Address, BeforeValidator(address)]
Peer = Annotated[str, BeforeValidator(peer)]
ListenText = Annotated[str, BeforeValidator(listen)]
Network = Annotated[str, BeforeValidator(network)]
TimeZone = Annotated[str, BeforeValidator(time_zone)]
HostName = Annotated[str, BeforeValidator(host_name)]
WebAddress = Annotated[str, BeforeValidator(web_address)]
Region = Annotated[str, BeforeValidator(region)]
PayloadKey = Annotated[bytes, BeforeValidator(payload_key)]
