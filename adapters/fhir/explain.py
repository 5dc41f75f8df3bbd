"""Explains a resource to the person who writes the mapping: what it states, and what in it is not read. Pure.

Values are shown, on the engineer's own screen only, so nothing here may go to a log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from adapters.base import Explanation, Item
from adapters.fhir import contact_points, unknown
from adapters.fhir.decode import encode
from adapters.fhir.options import MapperOptions
from adapters.fhir.site_rules import RuleSet
from adapters.mapping.language import Languages
from store.preference import PatientStatements

LIFE = ("deceasedBoolean", "deceasedDateTime", "active")
READ = {
    "Patient": frozenset({"identifier", "telecom", "name", "birthDate", "communication", *LIFE, "link"}),
    "Consent": frozenset({"status", "category", "scope", "patient", "subject", "dateTime", "date", "provision", "decision"}),
    "Flag": frozenset({"status", "code", "subject", "period"}),
}
ENVELOPE = frozenset({"resourceType", "id", "meta", "text"})
SHOWN = 120  # characters of a value


def explain(resource: dict[str, Any], items: Sequence[Item], rules: RuleSet, options: MapperOptions, languages: Languages) -> Explanation:
    """The explanation of one resource; for a Bundle, that of all its entries."""
    resources = list(_resources(resource))
    stated = [
        (attribute, statement.value, statement.path)
        for item in items
        if isinstance(item, PatientStatements)
        for attribute, statement in item.statements.items()
    ]
    unused = [row for one in resources for row in _unused(one, rules, options)]
    unmapped = [row for one in resources for row in dict.fromkeys(_unmapped(one, rules))]  # once, even if several rules read it
    codes = dict.fromkeys(code for one in resources for code in unknown.codes(one, rules, options, languages))
    return Explanation(items, stated, unused, unmapped, list(codes))


def _resources(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    entries = resource.get("entry") if resource["resourceType"] == "Bundle" else None
    if entries is None:
        yield resource
        return
    for entry in entries if type(entries) is list else ():
        inner = entry.get("resource") if type(entry) is dict else None
        if type(inner) is dict and isinstance(inner.get("resourceType"), str):
            yield inner


def _unmapped(resource: dict[str, Any], rules: RuleSet) -> Iterator[tuple[str, str]]:
    return (pair for rule in rules.get(resource["resourceType"], ()) for pair in rule.missing(resource))


def _unused(resource: dict[str, Any], rules: RuleSet, options: MapperOptions) -> Iterator[tuple[str, str]]:
    kind = resource["resourceType"]
    by_rules = [found.path for rule in rules.get(kind, ()) for found in rule.find(resource)]
    for path, value in _parts(resource, kind, options):
        if not any(read == path or read.startswith((path + ".", path + "[")) for read in by_rules):
            yield path, _shape(value)


def _parts(resource: dict[str, Any], kind: str, options: MapperOptions) -> Iterator[tuple[str, Any]]:
    """Elements that the standard mapping does not read, and each extension separately, also those of contact points."""
    for name, value in resource.items():
        if name not in ENVELOPE and name != "extension" and name not in READ.get(kind, ()):
            yield f"{kind}.{name}", value
    points = contact_points.of(resource, options.telecom).points if kind == "Patient" else ()
    places = {one.place for one in points}
    yield from ((path, entry) for path, entry in _extensions(resource, kind) if path not in places)
    for point in points:
        if type(point.entry) is dict:
            yield from _extensions(point.entry, point.path)


def _extensions(holder: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    entries = holder.get("extension")
    for index, entry in enumerate(entries if type(entries) is list else ()):
        yield f"{path}.extension[{index}]", entry


def _shape(value: Any) -> str:
    text = encode(value).decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
