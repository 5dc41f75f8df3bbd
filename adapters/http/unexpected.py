"""Describes an unexpected response body without quoting it: an error page may contain patient data. Pure."""

from __future__ import annotations

import json
import re

from adapters.mapping.legible import BYTE_ORDER_MARK

NOTHING = "an empty response"
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,40}")
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")


def described(body: bytes) -> str:
    """A description: ``an HTML page``, ``XML``, ``JSON of type OperationOutcome``, ``text that is not JSON`` and so on."""
    start = body[:4096].removeprefix(BYTE_ORDER_MARK).lstrip()
    if not start:
        return NOTHING
    if start[:64].lower().startswith(_HTML) or b"<html" in start.lower():
        return "an HTML page"
    if start.startswith(b"<"):
        return "XML"
    return _json(body) if start[:1] in (b"{", b"[") else "text that is not JSON"


def _json(body: bytes) -> str:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "truncated or invalid JSON"
    kind = found.get("resourceType") if isinstance(found, dict) else None
    return f"JSON of type {kind}" if isinstance(kind, str) and _TYPE.fullmatch(kind) else "JSON of unexpected structure"
