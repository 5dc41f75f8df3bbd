"""Reads the manifest of a finished export: its files, and how to download them. Pure.

Source: Bulk Data Access IG 2.0 and 3.0, "Bulk Data Output Manifest" (3.0: several manifests, linked by ``next``); 4.0 ballot (``outcome``
for ``error``).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import msgspec

from adapters.base import AdapterError
from adapters.http import unexpected
from adapters.mapping.legible import BYTE_ORDER_MARK

OUTPUT, DELETED, OUTCOME = "output", "deleted", "outcome"


class ExportFile(NamedTuple):
    """One file. ``part``: ``output``, ``deleted`` or ``outcome``. ``lines``: the number announced by the server."""

    part: str
    type: str
    url: str
    lines: int | None
    token: bool
    number: int

    @property
    def locator(self) -> str:
        """A name that identifies the file without its URL."""
        return f"{self.type or self.part}.{self.number}.ndjson"


class Manifest(NamedTuple):
    """One part of the manifest. ``transaction_time`` is the server's own text, because it is sent back as ``_since``."""

    transaction_time: str
    files: tuple[ExportFile, ...]
    next_url: str | None


class _File(msgspec.Struct):
    url: str
    type: str | None = None
    count: int | None = None


class _ManifestLink(msgspec.Struct):
    relation: str | None = None
    url: str | None = None


class _Manifest(msgspec.Struct, rename="camel"):
    transaction_time: str | None = None
    requires_access_token: bool | None = None
    output: list[_File] | None = None
    deleted: list[_File] | None = None
    error: list[_File] | None = None
    outcome: list[_File] | None = None
    link: list[_ManifestLink] | None = None


_decode = msgspec.json.Decoder(_Manifest, strict=False).decode


def read(body: bytes, url: str) -> Manifest:
    """The manifest that ``url`` returned. Raises :class:`~adapters.base.AdapterError` if the body is none."""
    try:
        found = _decode(body.removeprefix(BYTE_ORDER_MARK))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise AdapterError(f"the export status request returned {unexpected.described(body)} instead of a manifest") from None
    if found.output is None:
        raise AdapterError("the export manifest has no output")
    token = found.requires_access_token is True  # sent only if required
    parts = ((OUTPUT, found.output), (OUTCOME, [*(found.error or []), *(found.outcome or [])]), (DELETED, found.deleted or []))
    files = [ExportFile(part, one.type or "", urljoin(url, one.url), one.count, token, 0) for part, ones in parts for one in ones]
    return Manifest(found.transaction_time or "", tuple(files), _next(found, url))


def _next(found: _Manifest, url: str) -> str | None:
    link = next((one for one in found.link or [] if one.relation == "next"), None)
    if link is None:
        return None
    if not link.url:
        raise AdapterError("the link to the next part of the export manifest is empty")
    return urljoin(url, link.url)


def ordered(files: Sequence[ExportFile], kinds: Sequence[str]) -> tuple[ExportFile, ...]:
    """The files to read, in order: Patients first, then the records about them, then outcomes and deletions.

    Within each, the order of the manifest is kept. A file without a type may contain anything and comes first.
    """
    rank = {kind: place for place, kind in enumerate(kinds, 1)}
    place = {OUTPUT: 0, OUTCOME: len(rank) + 1, DELETED: len(rank) + 2}
    selected = [one for one in files if one.part != OUTPUT or not one.type or one.type in rank]
    selected.sort(key=lambda one: place[one.part] + (rank.get(one.type, 0) if one.part == OUTPUT else 0))
    return tuple(one._replace(number=number) for number, one in enumerate(selected, 1))


def digest(files: Sequence[ExportFile]) -> str:
    """A digest that identifies a list of files. Queries are left out: storage signs its URLs again for each request."""
    hashed = blake2b(digest_size=8)
    for one in files:
        hashed.update(f"{one.part}\0{one.type}\0{urlsplit(one.url).path}\0{one.lines}\n".encode())
    return hashed.hexdigest()
