"""One page of a search: its entries as the bytes they came in, and where the next page is. Pure.

Source: FHIR R4 3.1.1.1 (search, paging): ``next`` is opaque and followed as it stands; entries of mode ``outcome`` are about the
search, not results.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import msgspec

from adapters.base import AdapterError
from adapters.legible import BYTE_ORDER_MARK, repaired


class _Link(msgspec.Struct):
    relation: str | None = None
    url: str | None = None


class _Mode(msgspec.Struct):
    mode: str | None = None


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw(b"")
    search: _Mode | None = None


class _Meta(msgspec.Struct, rename="camel"):
    last_updated: str | None = None


class _Bundle(msgspec.Struct, rename="camel"):
    resource_type: str
    total: int | None = None
    link: list[_Link] | None = None
    entry: list[_Entry] | None = None
    meta: _Meta | None = None


class Page(msgspec.Struct, frozen=True):
    """``resources`` are raw JSON. ``searched_at`` is when the server says it searched, as it wrote it."""

    resources: tuple[bytes, ...]
    total: int | None
    next_url: str | None
    searched_at: str | None


_decode = msgspec.json.Decoder(_Bundle).decode


def read(body: bytes, url: str) -> Page:
    """The page that ``url`` answered with. Raises :class:`~adapters.base.AdapterError` when it is none."""
    try:
        bundle = _bundle(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise AdapterError("the server answered a search with something that is no Bundle") from None
    if bundle.resource_type != "Bundle":
        raise AdapterError("the server answered a search with something that is no Bundle")
    entries = bundle.entry or []
    found = tuple(bytes(one.resource) for one in entries if _is_result(one))
    return Page(found, bundle.total, _next(bundle, url), bundle.meta.last_updated if bundle.meta else None)


def _bundle(body: bytes) -> _Bundle:
    """An entry that is illegible in part does not take the others with it."""
    try:
        return _decode(body.removeprefix(BYTE_ORDER_MARK))
    except msgspec.DecodeError:
        return _decode(repaired(body))


def _is_result(entry: _Entry) -> bool:
    about_search = entry.search is not None and entry.search.mode == "outcome"
    return not about_search and bytes(entry.resource) not in (b"", b"null")


def _next(bundle: _Bundle, url: str) -> str | None:
    """A ``next`` link without a usable address is a broken one, never the end of the results."""
    link = next((one for one in bundle.link or [] if one.relation == "next"), None)
    if link is None:
        return None
    if not link.url:
        raise AdapterError("the server's link to the next page is empty")
    return urljoin(url, link.url)


def same_origin(url: str, base_url: str) -> bool:
    """Whether both are one server: scheme, host and port."""
    return _origin(url) == _origin(base_url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname, port or {"https": 443, "http": 80}.get(parts.scheme)
