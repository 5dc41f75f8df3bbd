"""The codes of a resource that its source does not know: in tables of rules, in extensions, of Consents, Flags and languages. Pure.

Only elements that FHIR types as codes or booleans are looked at; text is never a code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from adapters.base import UnknownCode
from adapters.fhir.contact_points import VALUE
from adapters.fhir.options import MapperOptions
from adapters.fhir.site_rules import RuleSet
from adapters.mapping.language import Languages, is_declined


def codes(resource: dict[str, Any], rules: RuleSet, options: MapperOptions, languages: Languages) -> list[UnknownCode]:
    """Every code of one resource once, however often it occurs."""
    kind = resource["resourceType"]
    of_kind = rules.get(kind, ())
    found = [UnknownCode("mapping", rule.path, code, rule.attribute) for rule in of_kind for _, code in rule.missing(resource) if code]
    if kind == "Patient":
        found += [*_extensions(resource, "Patient", rules), *_languages(resource, languages)]
        found += [one for point, path in _points(resource, options) for one in _extensions(point, path, rules)]
    elif kind == "Consent" and not options.consent.every:
        known = options.consent.category
        found += [UnknownCode("consent.category", "Consent.category", one) for one in _tokens(resource.get("category"), known)]
    elif kind == "Flag":
        found += [UnknownCode("flag.codes", "Flag.code", one) for one in _tokens([resource.get("code")], options.flag.codes)]
    return list(dict.fromkeys(found))


def _points(resource: dict[str, Any], options: MapperOptions) -> Iterator[tuple[dict[str, Any], str]]:
    """The contact points, and the path by which a rule reads them."""
    yield from ((point, "Patient.telecom") for point in _dicts(resource.get("telecom")))
    held = [one for one in _dicts(resource.get("extension")) if one.get("url") in options.telecom]
    yield from ((point, f"Patient.extension('{one['url']}').{VALUE}") for one in held for point in _dicts([one.get(VALUE)]))


def _extensions(holder: dict[str, Any], path: str, rules: RuleSet) -> Iterator[UnknownCode]:
    """Coded extensions that no rule reads."""
    for extension in _dicts(holder.get("extension")):
        url = extension.get("url")
        if not isinstance(url, str) or "'" in url or not url.isprintable() or any(url in rule.path for rule in rules.get("Patient", ())):
            continue
        for place, code in _coded(extension):
            yield UnknownCode("mapping", f"{path}.extension('{url}').{place}", code)


def _coded(extension: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(path within the extension, code)."""
    if isinstance(value := extension.get("valueBoolean"), bool):
        yield "valueBoolean", str(value).lower()
    if isinstance(value := extension.get("valueCode"), str):
        yield "valueCode", value
    for coding in _dicts([extension.get("valueCoding")]):
        yield "valueCoding.code", _text(coding.get("code"))
    for concept in _dicts([extension.get("valueCodeableConcept")]):
        for coding in _dicts(concept.get("coding")):
            yield "valueCodeableConcept.coding.code", _text(coding.get("code"))


def _tokens(concepts: Any, known: Sequence[str]) -> Iterator[str]:
    """``system|code`` of each coding that the configuration does not name."""
    for concept in _dicts(concepts):
        for coding in _dicts(concept.get("coding")):
            system, code = (_text(coding.get(name)) for name in ("system", "code"))
            if code and not {code, f"{system}|{code}"} & set(known):
                yield f"{system}|{code}" if system else code


def _languages(resource: dict[str, Any], languages: Languages) -> Iterator[UnknownCode]:
    for entry in _dicts(resource.get("communication")):
        for concept in _dicts([entry.get("language")]):
            codings = [[_text(one.get(name)) for name in ("code", "display", "system")] for one in _dicts(concept.get("coding"))]
            if any(languages.coded(*one) or any(is_declined(part) for part in one[:2] if part) for one in codings):
                continue
            if codings and codings[0][0] and not languages.tag(_text(concept.get("text"))):
                yield UnknownCode("languages", "Patient.communication", codings[0][0])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []
