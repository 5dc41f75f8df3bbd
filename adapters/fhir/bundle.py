"""Reads one page of a search: its entries as received bytes, and the link to the next page. Pure.

Source: FHIR R4 3.1.1.1 (search, paging): ``next`` is opaque and followed unchanged; entries with mode ``outcome`` are about the search, not
results. Servers also send an OperationOutcome without a mode: it is never a result.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urljoin

import msgspec

from adapters.base import AdapterError
from adapters.fhir import outcome
from adapters.mapping.legible import BYTE_ORDER_MARK, repaired


class _BundleLink(msgspec.Struct):
    relation: str | None = None
    url: str | None = None


class _Mode(msgspec.Struct, rename="camel", omit_defaults=True):
    mode: str | None = None
    modifier_extension: Any = None


class _Entry(msgspec.Struct, rename="camel", omit_defaults=True):
    resource: msgspec.Raw = msgspec.Raw(b"")
    search: _Mode | None = None
    modifier_extension: Any = None


class _Meta(msgspec.Struct, rename="camel", omit_defaults=True):
    last_updated: str | None = None
    modifier_extension: Any = None


class _Head(msgspec.Struct, rename="camel"):
    resource_type: Any = None
    id: Any = None


class _Bundle(msgspec.Struct, rename="camel", omit_defaults=True):
    resource_type: str
    total: Any = None
    link: list[_BundleLink] | None = None
    entry: list[_Entry] | None = None
    meta: _Meta | None = None
    modifier_extension: Any = None
    implicit_rules: Any = None


class BundlePage(msgspec.Struct, frozen=True):
    """One page. ``resources``: raw JSON; a resource with modifiers around it is wrapped in a Bundle with them. ``searched_at``: when the
    server searched, as written.

    ``keys`` identify the matches. ``included``: how many resources came beside them. ``error``: the server's errors, as codes.
    """

    resources: tuple[bytes, ...]
    total: int | None
    next_url: str | None
    searched_at: str | None
    keys: tuple[int, ...] = ()
    included: int = 0
    error: str = ""


class _Result(NamedTuple):
    body: bytes
    key: int
    included: bool


_decode = msgspec.json.Decoder(_Bundle).decode
_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(_Head).decode


def read(body: bytes, url: str) -> BundlePage:
    """The page that ``url`` returned. Raises :class:`~adapters.base.AdapterError` if the body is no Bundle."""
    try:
        bundle = _bundle(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise AdapterError(_not_a_bundle(body)) from None
    if bundle.resource_type != "Bundle":
        raise AdapterError(_not_a_bundle(body))
    outcomes, results = _outcomes_and_results(bundle)
    return BundlePage(
        tuple(one.body for one in results),
        _count(bundle.total),
        _next(bundle, url),
        bundle.meta.last_updated if bundle.meta else None,
        tuple(one.key for one in results if not one.included),
        sum(one.included for one in results),
        ", ".join(dict.fromkeys(outcome.summary(one) for one in outcomes if outcome.codes(one))),
    )


def _bundle(body: bytes) -> _Bundle:
    """The Bundle. An entry that is illegible in part does not affect the others."""
    try:
        return _decode(body.removeprefix(BYTE_ORDER_MARK))
    except msgspec.DecodeError:
        return _decode(repaired(body))


def _count(total: Any) -> int | None:
    """The total. Some servers write it as text or with a fraction."""
    text = str(total).removesuffix(".0") if type(total) in (int, float, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _not_a_bundle(body: bytes) -> str:
    return f"a search returned {outcome.described(body)} instead of a Bundle"


def _outcomes_and_results(bundle: _Bundle) -> tuple[list[bytes], list[_Result]]:
    """The outcomes of the search, and its results."""
    outcomes: list[bytes] = []
    results: list[_Result] = []
    for entry in bundle.entry or []:
        body, mode = bytes(entry.resource), entry.search.mode if entry.search else None
        if body in (b"", b"null"):
            continue
        head = _read_head(body)
        if mode == "outcome" or head.resource_type == "OperationOutcome":
            outcomes.append(body)
        else:
            key = hash(f"{head.resource_type}/{head.id}") if isinstance(head.id, str) else hash(body)
            results.append(_Result(_with_modifiers(bundle, entry) or body, key, mode == "include"))
    return outcomes, results


def _with_modifiers(bundle: _Bundle, entry: _Entry) -> bytes:
    """The entry in its Bundle, if either has a modifier (``adapters.fhir.modifiers``); else nothing."""
    holders = (bundle, bundle.meta, entry, entry.search)
    has_modifiers = bundle.implicit_rules is not None or any(one is not None and one.modifier_extension is not None for one in holders)
    return _encode(msgspec.structs.replace(bundle, entry=[entry], total=None, link=None)) if has_modifiers else b""


def _read_head(body: bytes) -> _Head:
    try:
        return _head(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Head()


def _next(bundle: _Bundle, url: str) -> str | None:
    """The URL of the next page. A ``next`` link without a usable URL is an error, never the end of the results."""
    link = next((one for one in bundle.link or [] if one.relation == "next"), None)
    if link is None:
        return None
    if not link.url:
        raise AdapterError("the server's link to the next page is empty")
    return urljoin(url, link.url)
