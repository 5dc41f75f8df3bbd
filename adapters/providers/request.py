"""A request of a messaging provider, as it arrived, and its body as fields. Pure."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from adapters.providers.format import EITHER, FORM

MOST_FIELDS = 1_000
MOST_ITEMS = 1_000
Fields = tuple[tuple[str, str], ...]


class BodyUnreadable(ValueError):
    """The body is neither a form nor JSON. ``reason`` is a stable code, the text a sentence for people."""

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


@dataclass(frozen=True)
class ProviderRequest:
    """``url``: the address that the provider called, as the outside sees it. ``headers``: by name in lower case.

    ``peer``: the IP address that it came from. ``at``: when it was received.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    peer: str
    at: datetime

    @cached_property
    def media(self) -> str:
        """The media type of the body, in lower case and without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def form(self) -> Fields:
        """The fields of a form, in order. Raises :class:`BodyUnreadable`."""
        return form_fields(self.body, self.headers.get("content-type", ""))

    def has_form(self, body: str) -> bool:
        """Whether the body is a form, where a provider may send either."""
        return body == FORM or (body == EITHER and "json" not in self.media)

    def content(self, body: str) -> Any:
        """The body as fields: a mapping of a form, or whatever the JSON is. Raises :class:`BodyUnreadable`."""
        return dict(self.form) if self.has_form(body) else json_value(self.body)

    @property
    def query(self) -> dict[str, str]:
        """The query of the URL."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @cached_property
    def body_hash(self) -> bytes:
        """SHA-256 of the body."""
        return hashlib.sha256(self.body).digest()


def form_fields(body: bytes, content_type: str) -> Fields:
    """The fields of a URL-encoded form, in order. Bytes that are not of its character set are replaced: an opt-out is not lost to them."""
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    if text.lstrip()[:1] in ("{", "["):
        raise BodyUnreadable("body_is_not_a_form", "the body is JSON, but this provider sends a form")
    try:
        found = parse_qsl(text, keep_blank_values=True, encoding=_charset(content_type), errors="replace", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise BodyUnreadable("body_has_too_many_fields", f"the form has more than {MOST_FIELDS} fields") from None
    return tuple(found)


def json_value(body: bytes) -> Any:
    """The value of a JSON body in UTF-8, UTF-16 or UTF-32. Bytes that are no text in it are replaced."""
    encoding = json.detect_encoding(body)
    try:
        return json.loads(body.decode(encoding, "replace"))
    except (ValueError, RecursionError):
        raise BodyUnreadable("body_is_not_json", "the body is not valid JSON") from None


def _charset(content_type: str) -> str:
    """The character set that a request names, if Python knows it; else UTF-8."""
    name = content_type.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        return codecs.lookup(name).name if name else "utf-8"
    except LookupError:
        return "utf-8"
