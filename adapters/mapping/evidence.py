"""The sender's own name for a message or resource, readable even if the rest of the payload is not. Pure.

The control ID (MSH-10), or type and id of a resource, identify a message and not a person. With it the EMR's staff can find a rejected one.
"""

from __future__ import annotations

import json
import re

MSH = re.compile(rb"(?:\A|[\r\n\x0b])MSH(.)")
CONTROL_ID = 8  # MSH-1 is the separator itself, so MSH-10 is the eighth field after MSH-2
HEAD = 4096  # bytes; MSH comes first
PLAIN = re.compile(r"[\x21-\x7e]{1,199}")
TYPE, ID = re.compile(r"[A-Z][A-Za-z]{1,63}"), re.compile(r"[A-Za-z0-9.-]{1,64}")


def message_name(payload: bytes) -> str:
    """``MSG00001``, ``Consent/17``, or empty if the payload has no usable identification."""
    return _message(payload[:HEAD]) or _resource(payload)


def _message(head: bytes) -> str:
    found = MSH.search(head)
    if found is None:
        return ""
    line = re.split(rb"[\r\n]", head[found.end() :], maxsplit=1)[0]
    fields = line.split(found[1])
    text = fields[CONTROL_ID].decode("ascii", "replace") if len(fields) > CONTROL_ID else ""
    return text if PLAIN.fullmatch(text) else ""


def _resource(payload: bytes) -> str:
    if not payload.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return ""
    try:
        resource = json.loads(payload.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return ""
    kind, name = resource.get("resourceType"), resource.get("id")
    if not (isinstance(kind, str) and isinstance(name, str)):
        return ""
    return f"{kind}/{name}" if TYPE.fullmatch(kind) and ID.fullmatch(name) else ""
