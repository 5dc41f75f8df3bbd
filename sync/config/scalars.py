"""The kinds of setting that are written as one word, beside those that adapters have too (``adapters.schema``)."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator

from adapters.address import Address, address
from adapters.mapping.telecom import is_region
from store.domain.attributes import ATTRIBUTES
from store.preference import Channel
from store.runs.encryption import read_key

CHANNELS = "|".join(Channel)
OPEN_ATTRIBUTE = re.compile(rf"topic\.[^.\s]+\.({CHANNELS})|consent\.({CHANNELS})#\+\d{{6,15}}")
OPEN_RULE = re.compile(r"topic\.[^.\s]+\.\*|consent\.\*|consent\.(sms|voice)#\*")


def network(value: object) -> str:
    """An IP address, or a network of them: ``10.0.0.7``, ``10.0.0.0/24``."""
    try:
        return str(ip_network(str(value)) if "/" in str(value) else ip_address(str(value)))
    except ValueError:
        raise ValueError("not an IP address or network; write it like 10.0.0.7 or 10.0.0.0/24") from None


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
    if not is_region(text.upper()):
        raise ValueError(f"no phone numbers are known for '{text.upper()}'; use an ISO 3166-1 code, like US or GB")
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


Listen = Annotated[Address, BeforeValidator(address)]
Network = Annotated[str, BeforeValidator(network)]
TimeZone = Annotated[str, BeforeValidator(time_zone)]
Region = Annotated[str, BeforeValidator(region)]
PayloadKey = Annotated[bytes, BeforeValidator(payload_key)]
