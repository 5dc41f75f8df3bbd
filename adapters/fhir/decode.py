"""Bytes to a FHIR resource as plain data. Pure. Source: FHIR R4 2.6.2 (JSON), RFC 8259.

msgspec, not the standard library: a Patient decodes more than twice as fast and half-characters (lone surrogates) are refused,
which no database takes.
"""

from __future__ import annotations

from typing import Any

import msgspec

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class NotReadable(ValueError):
    """The bytes are no resource. ``reason`` is the stable code; the message never quotes them."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def decode(body: bytes) -> dict[str, Any]:
    """The resource. Raises :class:`NotReadable`."""
    if b"\\u0000" in body:
        raise NotReadable("nul_character", "it contains the character U+0000, which no text in FHIR may have")
    try:
        resource = _decode(body.removeprefix(BYTE_ORDER_MARK))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NotReadable("not_json", "it is not JSON in UTF-8") from error
    if type(resource) is not dict or not isinstance(resource.get("resourceType"), str):
        raise NotReadable("not_fhir", "it is JSON but no FHIR resource: resourceType is missing")
    return resource


def encode(resource: Any) -> bytes:
    """Compact JSON."""
    return _encode(resource)
