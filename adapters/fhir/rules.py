"""The site's rules for FHIR: compiled once, sorted by the resource they read, applied to one resource. Pure.

A rule's expression says by its first word which resource it reads (``Patient.``, ``Consent.``, ``Flag.``); without one it reads
Patient. Several types may stand in one union.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.base import SourceSettings
from adapters.fhir.fhirpath import compile_expression, compile_path
from adapters.fhir.fhirpath_nodes import ANY_RESOURCE
from adapters.language import bcp47
from adapters.site_mapping import MappingError, Refusal, Rule, compile_mapping
from adapters.telecom import resolve_preferred
from store.preference import EMAIL, LANGUAGE, PHONES, PREFERRED_PHONE, Phone, Problem, Statement, base

READ = ("Patient", "Consent", "Flag")
FROM_TELECOM = (PHONES, EMAIL)

RuleSet = dict[str, tuple[Rule, ...]]


def compile_rules(settings: SourceSettings, by_options: Mapping[str, Mapping[str, Any]]) -> RuleSet:
    """Rules by resource type. ``by_options`` are those that options stand for; a written rule of the same attribute wins.

    Raises :class:`~adapters.site_mapping.MappingError` for the first rule that is wrong.
    """
    sorted_rules: dict[str, list[Rule]] = {}
    mapping = {**by_options, **(settings.preset.get("mapping") or {}), **settings.mapping}
    for attribute, written in mapping.items():
        types = _types(attribute, str(written.get("from") or ""))
        # A Flag of another code is none of our concern, so an unknown code rejects nothing unless the site says so.
        rule = {"on_unknown": "no_statement", **written} if types == {"Flag"} else written
        (compiled,) = compile_mapping({attribute: rule}, compile_path)
        for name in types:
            sorted_rules.setdefault(name, []).append(compiled)
    return {name: tuple(rules) for name, rules in sorted_rules.items()}


def _types(attribute: str, path: str) -> set[str]:
    if base(attribute) in FROM_TELECOM:
        raise MappingError(attribute, "is read from Patient.telecom and needs no rule")
    try:
        named = {"Patient" if name in ANY_RESOURCE else name for name in compile_expression(path).types} if path else set()
    except ValueError as error:
        raise MappingError(attribute, f"path {path!r}: {error}") from error
    if not named <= set(READ):
        raise MappingError(attribute, f"path {path!r} begins with {', '.join(sorted(named - set(READ)))}: only {', '.join(READ)} are read")
    return named or {"Patient"}


def apply_rules(rules: tuple[Rule, ...], resource: dict[str, Any]) -> dict[str, Statement] | Refusal:
    """What the rules state, by attribute; the first refusal refuses the whole resource."""
    stated: dict[str, Statement] = {}
    for rule in rules:
        outcome = rule.apply(resource)
        if isinstance(outcome, Refusal):
            return outcome
        if outcome is not None:
            stated[rule.attribute] = outcome
    return stated


def in_our_words(
    stated: dict[str, Statement], phones: tuple[Phone, ...], region: str | None, problems: list[Problem]
) -> dict[str, Statement]:
    """Rule outcomes whose text needs reading: the preferred phone (a kind or a number) and the language."""
    made = dict(stated)
    for attribute in (PREFERRED_PHONE, LANGUAGE):
        statement = made.get(attribute)
        if statement is None or statement.value is None:
            continue
        value = resolve_preferred(statement.value, phones, region) if attribute == PREFERRED_PHONE else bcp47(statement.value)
        if value is None:
            del made[attribute]
            problems.append(Problem(f"{attribute}_unusable", statement.path, "it names none that is known"))
        else:
            made[attribute] = statement._replace(value=value)
    return made


def refusal_detail(refusal: Refusal) -> str:
    """What to mend, without the code itself."""
    if refusal.reason == "code_unmapped":
        return f"{refusal.attribute}: the code found there is not in the mapping's values; add it or set on_unknown"
    return f"{refusal.attribute}: nothing found there, and the mapping's on_absent is reject"
