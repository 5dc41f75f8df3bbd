"""The site's rules for FHIR: compiled once by resource type, and applied to one resource at a time. Pure.

The first word of a rule's expression is the resource type that it reads (``Patient.``, ``Consent.``, ``Flag.``); without one it reads
Patient. A union may have several types. A rule for each number (``consent.sms#*``) reads an element of ``Patient.telecom``,
or of an extension that the source names as a contact point.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from adapters.base import SourceSettings
from adapters.fhir import contact
from adapters.fhir.contact_points import ContactPoints
from adapters.fhir.fhirpath import compile_expression, compile_path
from adapters.fhir.fhirpath_nodes import ANY_RESOURCE
from adapters.fhir.options import ConsentOptions
from adapters.mapping import partial
from adapters.mapping.rules import EACH, MappingError, Read, Rule, compile_rule, expanded, paths, standard
from store.preference import BIRTH_DATE, DISPLAY_NAME, LANGUAGE, LISTS, PHONES, PREFERRED_PHONE, Problem, Statement, base

READ = ("Patient", "Consent", "Flag")
OF_A_POINT = re.compile(r"(?:Patient\.)?(?:telecom\b|extension\('([^']*)'\))")
ELEMENTS = {"Patient.name": DISPLAY_NAME, "Patient.birthDate": BIRTH_DATE, "Patient.telecom": PHONES, "Patient.communication": LANGUAGE}
FILTER = re.compile(r"\b(?:category|scope)\b")

NO_POINTS = ContactPoints()

RuleSet = dict[str, tuple[Rule, ...]]


def compile_rules(settings: SourceSettings, by_options: Mapping[str, Mapping[str, Any]], telecom: Collection[str] = ()) -> RuleSet:
    """Rules by resource type. ``by_options``: rules made from options; a rule of the mapping for the same attribute wins.
    ``telecom``: the URLs of the extensions that hold contact points.

    Raises :class:`~adapters.mapping.rules.MappingError` for the first wrong rule.
    """
    sorted_rules: dict[str, list[Rule]] = {}
    for attribute, written in expanded({**by_options, **settings.mapping}).items():
        if standard(attribute, written):
            continue
        types = {name for path in paths(written) for name in _types(str(written.get("written_as") or attribute), path, telecom)}
        # A Flag with another code does not concern us, so an unknown code rejects nothing unless the site sets that.
        rule = {"on_unknown": "no_statement", **written} if types == {"Flag"} else written
        compiled = compile_rule(attribute, rule, compile_path)
        for name in types:
            sorted_rules.setdefault(name, []).append(compiled)
    return {name: tuple(rules) for name, rules in sorted_rules.items()}


def counting_every_consent(settings: SourceSettings, options: ConsentOptions, rules: RuleSet) -> tuple[str, ...]:
    """Where a configuration takes any Consent, even to treatment or research, as one about messages: ``consent``, or attributes of rules.

    A source selects Consents by ``category`` or ``scope``, a rule by either in its path; ``*`` means that every Consent is meant.
    """
    if options.category or options.scope or options.every:
        return ()
    unfiltered = [one for one in rules.get("Consent", ()) if not all(FILTER.search(path) for path in one.paths)]
    return tuple(
        "consent" if one.attribute == options.attribute and one.attribute not in settings.mapping else one.attribute for one in unfiltered
    )


def preferred_by(settings: SourceSettings) -> str:
    """How the preferred phone is determined from the standard elements: by ``rank``, or ``first``."""
    rule = settings.mapping.get(PREFERRED_PHONE) or {}
    return str(rule["by"]) if standard(PREFERRED_PHONE, rule) else "rank"


def _types(attribute: str, path: str, telecom: Collection[str]) -> set[str]:
    if base(attribute) in LISTS:
        raise MappingError(attribute, "is read from Patient.telecom and needs no rule")
    if attribute.endswith(EACH) and not _is_of_a_point(path, telecom):
        detail = "start it with Patient.telecom, or with an extension that the option 'telecom' names"
        raise MappingError(attribute, f"path {path!r} is not a contact point: {detail}")
    try:
        named = {"Patient" if name in ANY_RESOURCE else name for name in compile_expression(path).types} if path else set()
    except ValueError as error:
        raise MappingError(attribute, f"path {path!r}: {error}") from error
    if not named <= set(READ):
        raise MappingError(attribute, f"path {path!r} starts with {', '.join(sorted(named - set(READ)))}: only {', '.join(READ)} are read")
    return named or {"Patient"}


def _is_of_a_point(path: str, telecom: Collection[str]) -> bool:
    begin = OF_A_POINT.match(path.strip())
    return begin is not None and (begin[1] is None or begin[1] in telecom)


def apply_rules(
    rules: tuple[Rule, ...],
    resource: dict[str, Any],
    region: str | None,
    problems: list[Problem],
    codes: Read,
    points: ContactPoints = NO_POINTS,
) -> dict[str, Statement]:
    """What the rules state, by attribute. A rule that cannot read its value becomes a problem; the others count."""
    stated: dict[str, Statement] = {}
    for rule in rules:
        if rule.attribute.endswith(EACH):
            stated |= partial.apply_per_number(rule, resource, _numbers(points, region), problems, codes)
        elif (outcome := partial.apply_rule(rule, resource, problems, codes)) is not None:
            stated[rule.attribute] = outcome
    return stated


def leave_out_illegible(
    ruled: dict[str, Statement],
    rules: tuple[Rule, ...],
    resource: dict[str, Any],
    problems: list[Problem],
    points: ContactPoints = NO_POINTS,
) -> None:
    """:func:`adapters.mapping.partial.leave_out_illegible` of a resource."""
    elements = ELEMENTS | {one.path: PHONES for one in points.points}
    partial.leave_out_illegible(ruled, rules, resource, str(resource["resourceType"]), elements, problems)


def _numbers(points: ContactPoints, region: str | None) -> Callable[[str], str | None]:
    """A function from a path to the number of its contact point."""

    def number_at(path: str) -> str | None:
        phones = [one for one in points.at(path) if contact.is_phone(one)]
        return (contact.number_of(phones[0], region) or "") if len(phones) == 1 else "" if phones else None

    return number_at
