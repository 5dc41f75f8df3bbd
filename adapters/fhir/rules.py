"""The site's rules for FHIR: compiled once, sorted by the resource they read, applied to one resource. Pure.

A rule's expression says by its first word which resource it reads (``Patient.``, ``Consent.``, ``Flag.``); without one it reads
Patient. Several types may stand in one union. A rule for each number (``consent.sms#*``) reads an element of ``Patient.telecom``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.base import SourceSettings
from adapters.fhir import contact
from adapters.fhir.fhirpath import compile_expression, compile_path
from adapters.fhir.fhirpath_nodes import ANY_RESOURCE
from adapters.language import bcp47, is_declined
from adapters.site_mapping import EACH, Found, MappingError, Refusal, Rule, compile_rule, expanded, paths, standard
from adapters.telecom import resolve_preferred
from store.preference import EMAIL, LANGUAGE, PHONES, PREFERRED_PHONE, Phone, Problem, Statement, base

READ = ("Patient", "Consent", "Flag")
FROM_TELECOM = (PHONES, EMAIL)
OF_A_POINT = re.compile(r"(?:Patient\.)?telecom\b")
POINT = re.compile(r"Patient\.telecom\[(\d+)\]")

RuleSet = dict[str, tuple[Rule, ...]]


def compile_rules(settings: SourceSettings, by_options: Mapping[str, Mapping[str, Any]]) -> RuleSet:
    """Rules by resource type. ``by_options`` are those that options stand for; a written rule of the same attribute wins.

    Raises :class:`~adapters.site_mapping.MappingError` for the first rule that is wrong.
    """
    sorted_rules: dict[str, list[Rule]] = {}
    for attribute, written in expanded({**by_options, **_written(settings)}).items():
        if standard(attribute, written):
            continue
        types = {name for path in paths(written) for name in _types(str(written.get("written_as") or attribute), path)}
        # A Flag of another code is none of our concern, so an unknown code rejects nothing unless the site says so.
        rule = {"on_unknown": "no_statement", **written} if types == {"Flag"} else written
        compiled = compile_rule(attribute, rule, compile_path)
        for name in types:
            sorted_rules.setdefault(name, []).append(compiled)
    return {name: tuple(rules) for name, rules in sorted_rules.items()}


def preferred_by(settings: SourceSettings) -> str:
    """How the standard elements tell the preferred phone: by ``rank``, or ``first``."""
    rule = _written(settings).get(PREFERRED_PHONE) or {}
    return str(rule["by"]) if standard(PREFERRED_PHONE, rule) else "rank"


def _written(settings: SourceSettings) -> dict[str, Mapping[str, Any]]:
    return {**(settings.preset.get("mapping") or {}), **settings.mapping}


def _types(attribute: str, path: str) -> set[str]:
    if base(attribute) in FROM_TELECOM:
        raise MappingError(attribute, "is read from Patient.telecom and needs no rule")
    if attribute.endswith(EACH) and not OF_A_POINT.match(path.strip()):
        raise MappingError(attribute, f"path {path!r} is of no contact point: begin it with Patient.telecom")
    try:
        named = {"Patient" if name in ANY_RESOURCE else name for name in compile_expression(path).types} if path else set()
    except ValueError as error:
        raise MappingError(attribute, f"path {path!r}: {error}") from error
    if not named <= set(READ):
        raise MappingError(attribute, f"path {path!r} begins with {', '.join(sorted(named - set(READ)))}: only {', '.join(READ)} are read")
    return named or {"Patient"}


def apply_rules(rules: tuple[Rule, ...], resource: dict[str, Any], region: str | None) -> dict[str, Statement] | Refusal:
    """What the rules state, by attribute; the first refusal refuses the whole resource."""
    stated: dict[str, Statement] = {}
    for rule in rules:
        if rule.attribute.endswith(EACH):
            for number, found in _by_number(rule, resource, region).items():
                outcome = rule.judge(found)
                if isinstance(outcome, Refusal):
                    return outcome
                if outcome is not None:
                    stated[rule.attribute[:-1] + number] = outcome
            continue
        outcome = rule.apply(resource)
        if isinstance(outcome, Refusal):
            return outcome
        if outcome is not None:
            stated[rule.attribute] = outcome
    return stated


def _by_number(rule: Rule, resource: dict[str, Any], region: str | None) -> dict[str, list[Found]]:
    """What the rule found, by the number of its contact point. A number that cannot be used is reported where phones are read."""
    numbers: dict[str, list[Found]] = {}
    for found in rule.find(resource):
        point = POINT.match(found.path)
        number = contact.number_at(resource.get("telecom"), int(point[1]), region) if point else None
        if number is not None:
            numbers.setdefault(number, []).append(found)
    return numbers


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
            if attribute == LANGUAGE and is_declined(statement.value):
                continue  # the patient did not say: no statement, and nothing to mend
            problems.append(Problem(f"{attribute}_unusable", statement.path, "it names none that is known"))
        else:
            made[attribute] = statement._replace(value=value)
    return made
