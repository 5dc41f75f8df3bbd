"""Whom a Reference names. Pure. Source: FHIR R4 2.3 (Reference), 3.1.6.1 (resolving references in Bundles), 3.2.0.7 (conditional ones).

A server is known by several addresses: behind a gateway it is http to itself and https to everybody else, and after a move its old
records keep the old address. The address of another server names a stranger, whose id may be the same text.
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
    """What references are resolved in: the server's ``bases`` (:func:`normalized`), and the Patients of the Bundle by their fullUrl."""

    bases: tuple[str, ...] = ()
    entries: Mapping[str, Identifiers] = field(default_factory=dict)


def server_context(urls: Iterable[str]) -> ReferenceContext:
    """Outside of any Bundle; ``urls`` are all addresses of the server."""
    return ReferenceContext(tuple(normalized(url) for url in urls if url))


def bundle_context(bundle_entries: Iterable[Any], outer: ReferenceContext, settings: SourceSettings, today: str) -> ReferenceContext:
    """In a Bundle. A fullUrl that two different Patients have names neither."""
    entries: dict[str, Identifiers] = {}
    for entry in bundle_entries:
        resource, url = (entry.get("resource"), entry.get("fullUrl")) if type(entry) is dict else (None, None)
        if type(resource) is dict and resource.get("resourceType") == "Patient" and isinstance(url, str) and url:
            found = identity.identifiers(resource, settings, today).identifiers
            entries[normalized(url)] = found if entries.get(normalized(url), found) == found else ()
    return ReferenceContext(outer.bases, entries)


def patient(reference: Any, settings: SourceSettings, context: ReferenceContext, holder: dict[str, Any], today: str) -> Identifiers:
    """The identifiers of the patient that a Reference of ``holder`` names; none when it is nobody of this server.

    By address (relative, absolute, of an entry of the Bundle, of a contained Patient, by a search for an identifier), else by a logical
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
    """An address without its scheme, default port, doubled slashes and the case of its host; a URN in lower case."""
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
    """The reference as it is within the server; as it came where it is none of the server's addresses."""
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
    """A contained Patient is known by its identifiers: its id is an anchor within the resource."""
    entries = holder.get("contained")
    for entry in entries if type(entries) is list else ():
        if type(entry) is dict and entry.get("id") == name and entry.get("resourceType") == "Patient":
            return identity.deciding({key: value for key, value in entry.items() if key != "id"}, settings, today)
    return ()


def _only(identifier: Identifier | None) -> Identifiers:
    return () if identifier is None else (identifier,)
