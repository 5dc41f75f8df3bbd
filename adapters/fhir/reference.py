"""Resolves a Reference to the identifiers of a patient. Pure.

Source: FHIR R4 2.3 (Reference), 3.1.6.1 (resolving references in Bundles), 3.2.0.7 (conditional references).

A server may have several base URLs: behind a gateway it uses http internally and https externally, and after a move old records keep the
old URL. A reference to another server is another patient, even if the id is the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from adapters.base import SourceSettings
from adapters.fhir import identity
from store.preference import Identifier

DEFAULT_PORTS = {"http": 80, "https": 443}

Identifiers = tuple[Identifier, ...]


@dataclass(frozen=True, slots=True)
class ReferenceContext:
    """The context for references: the server's base URLs (:func:`normalized`), and the Patients of the Bundle by fullUrl."""

    bases: tuple[str, ...] = ()
    entries: Mapping[str, Identifiers] = field(default_factory=dict)


def server_context(urls: Iterable[str]) -> ReferenceContext:
    """The context outside of any Bundle. ``urls``: all base URLs of the server."""
    return ReferenceContext(tuple(normalized(url) for url in urls if url))


def bundle_context(bundle_entries: Iterable[Any], outer: ReferenceContext, settings: SourceSettings, today: str) -> ReferenceContext:
    """The context in a Bundle. A fullUrl that two different Patients share resolves to neither."""
    entries: dict[str, Identifiers] = {}
    for entry in bundle_entries:
        resource, url = (entry.get("resource"), entry.get("fullUrl")) if type(entry) is dict else (None, None)
        if type(resource) is dict and resource.get("resourceType") == "Patient" and isinstance(url, str) and url:
            found = identity.identifiers(resource, settings, today).identifiers
            entries[normalized(url)] = found if entries.get(normalized(url), found) == found else ()
    return ReferenceContext(outer.bases, entries)


def patient(reference: Any, settings: SourceSettings, context: ReferenceContext, holder: dict[str, Any], today: str) -> Identifiers:
    """The identifiers of the patient that a Reference in ``holder`` refers to; empty if it is no patient of this server.

    Resolved by URL (relative, absolute, an entry of the Bundle, a contained Patient, a search for an identifier), else by a logical
    identifier.
    """
    if type(reference) is not dict:
        return ()
    target = reference.get("reference")
    target = target.strip() if isinstance(target, str) else ""
    if target.startswith("#"):
        return _contained(target[1:], holder, settings, today)
    named = context.entries.get(normalized(target)) or _by_address(_relative(target, context), settings)
    return named or _only(identity.logical(reference.get("identifier"), settings))


def normalized(url: str) -> str:
    """A URL without scheme, default port and doubled slashes, with its host in lower case; a URN in lower case."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    if parts.scheme not in DEFAULT_PORTS:
        return url.lower() if parts.scheme == "urn" else url
    path = "/".join(part for part in parts.path.split("/") if part)
    host = (parts.hostname or "") + (f":{port}" if port not in (None, DEFAULT_PORTS[parts.scheme]) else "")
    return f"//{host}/{path}".rstrip("/") + (f"?{parts.query}" if parts.query else "")


def _relative(target: str, context: ReferenceContext) -> str:
    """The reference relative to the server; unchanged if it does not begin with one of the server's base URLs."""
    found = normalized(target)
    return next((found[len(base) + 1 :] for base in context.bases if found.startswith((f"{base}/", f"{base}?"))), target).lstrip("/")


def _by_address(target: str, settings: SourceSettings) -> Identifiers:
    kind, _, tail = target.partition("/")
    name = tail.partition("/")[0].partition("?")[0]
    if kind == "Patient" and name:
        return (identity.resource_id(settings, name),)
    kind, _, query = target.partition("?")
    wanted = [value for key, value in parse_qsl(query) if key == "identifier"] if kind == "Patient" else []
    if len(wanted) != 1:
        return ()
    system, bar, value = wanted[0].partition("|")
    return _only(identity.logical({"system": system, "value": value} if bar else None, settings))


def _contained(name: str, holder: dict[str, Any], settings: SourceSettings, today: str) -> Identifiers:
    """The identifiers of a contained Patient. Its id is only an anchor within the resource."""
    entries = holder.get("contained")
    for entry in entries if type(entries) is list else ():
        if type(entry) is dict and entry.get("id") == name and entry.get("resourceType") == "Patient":
            return identity.deciding({key: value for key, value in entry.items() if key != "id"}, settings, today)
    return ()


def _only(identifier: Identifier | None) -> Identifiers:
    return () if identifier is None else (identifier,)
