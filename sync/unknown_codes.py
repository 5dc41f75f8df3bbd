"""Codes in sample payloads that a source does not know -> lines for its configuration, each for a person to decide. Pure.

Samples contain patient data, so a code is shown only if it looks like a code, its field holds few different ones, and several patients
have it; one or two characters tell nothing about anybody. A meaning is never proposed: nobody can guess what a code permits.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from adapters.base import Explanation, SourceSettings, UnknownCode, Unmappable
from adapters.mapping import contact_tables
from adapters.mapping.meanings import meanings, written_as
from store.preference import PatientStatements
from sync.config.writing import inline, scalar

LEAST = 3
"""Patients that must have a code before it is shown."""
HARMLESS = 2
"""Characters that tell nothing about a person."""
SHAPE = re.compile(r"(?!.*\d{5})[^\s@^~\\&]{1,120}|(urn:oid:)?[0-2](\.\d{1,10}){2,}(\|[^\s\d]*)?")
"""A code: no spaces, no address, no number of five digits or more; or an OID."""
FEW, MANY, PER_CODE = 5, 30, 3
"""A field with more than ``FEW`` different values holds codes only if there are ``PER_CODE`` patients for each, and at most ``MANY``."""
OPEN = "…"
"""Where a person writes the meaning. ``check-config`` reports it as an error if it is left."""
NO_RULE = "ATTRIBUTE"
PATIENT_ID = "patient_id"
OF_NO_PATIENT = frozenset({PATIENT_ID, "consent.category", "flag.codes"})
"""Settings whose codes are counted by record: an issuer or a kind of record tells nothing about a patient."""


class CodePlace(NamedTuple):
    """Where the configuration would explain a code."""

    setting: str
    path: str
    attribute: str


class SeenCode(NamedTuple):
    """A place, its codes with their numbers of patients, and how many different values are not shown."""

    place: CodePlace
    codes: Mapping[str, int]
    hidden: int


class Survey:
    """Collects the unknown codes of one source's payloads. ``least``: the patients that must have a code before it is shown."""

    def __init__(self, least: int = LEAST) -> None:
        self.payloads, self.rejected, self.patients = 0, 0, set[Hashable]()
        self._least = least
        self._found: dict[CodePlace, dict[str, set[Hashable]]] = {}

    def add(self, explanation: Explanation) -> None:
        """Adds one payload. Payloads whose patient is not known count as one patient."""
        self.payloads += 1
        self.rejected += all(isinstance(one, Unmappable) for one in explanation.items)
        named = (one.identifiers[0] for one in explanation.items if isinstance(one, PatientStatements) and one.identifiers)
        patient = next(map(hash, named), None)
        if patient is not None:
            self.patients.add(patient)
        for one in explanation.unknown:
            self._codes_at(one).setdefault(one.code, set()).add(self.payloads if one.setting in OF_NO_PATIENT else patient)

    def _codes_at(self, one: UnknownCode) -> dict[str, set[Hashable]]:
        return self._found.setdefault(CodePlace(one.setting, one.path, one.attribute), {})

    def seen(self) -> list[SeenCode]:
        """What may be shown, the most frequent first."""
        shown = [self._seen(place, codes) for place, codes in self._found.items()]
        return sorted(shown, key=lambda one: (-sum(one.codes.values()), one.place))

    def _seen(self, place: CodePlace, codes: Mapping[str, set[Hashable]]) -> SeenCode:
        are_codes = len(codes) <= min(MANY, max(FEW, len(self.patients) // PER_CODE))
        shown = {code: len(patients) for code, patients in codes.items() if are_codes and self._is_shown(code, len(patients))}
        ranked = dict(sorted(shown.items(), key=lambda one: (-one[1], one[0])))
        return SeenCode(place, ranked, len(codes) - len(shown))

    def _is_shown(self, code: str, patients: int) -> bool:
        return SHAPE.fullmatch(code) is not None and code.isprintable() and (len(code) <= HARMLESS or patients >= self._least)


def lines(found: Iterable[SeenCode], settings: SourceSettings) -> Iterator[str]:
    """The lines, indented as below the source. Rules that are configured are repeated with their codes; so their lines can replace them."""
    listed = [one for one in found if one.codes]
    by_rule: dict[str, list[SeenCode]] = {}
    for one in listed:
        if one.place.attribute:
            by_rule.setdefault(written_as(one.place.attribute, settings.mapping), []).append(one)
    unread = [one for one in listed if one.place.setting == "mapping" and not one.place.attribute]
    if by_rule or unread:
        yield "    mapping:"
    for attribute, several in by_rule.items():
        yield from _rule(attribute, several, settings.mapping[attribute])
    for one in unread:
        rule = {"from": one.place.path, "values": dict.fromkeys(one.codes, OPEN)}
        yield f"      # decide: {NO_RULE}: {inline(rule)}    # {_counts(one.codes)}"
    yield from _other_settings([one for one in listed if one.place.setting != "mapping"], settings)


def _rule(attribute: str, several: Iterable[SeenCode], rule: Mapping[str, Any]) -> Iterator[str]:
    codes: dict[str, int] = {}
    for one in several:
        codes |= {code: max(number, codes.get(code, 0)) for code, number in one.codes.items()}
    yield f"      {scalar(attribute)}:"
    for key, value in rule.items():
        if key != "values":
            yield f"        {key}: {inline(value)}"
    yield "        values:"
    for code, meaning in (rule.get("values") or {}).items():
        yield f"          {scalar(str(code))}: {inline(meaning)}"
    for code, number in codes.items():
        yield f"          # decide: {scalar(code)}: {OPEN}    # {_number(number, 'patient')}; {' | '.join(meanings(attribute))}"


def _other_settings(found: list[SeenCode], settings: SourceSettings) -> Iterator[str]:
    for setting, hint in HINTS.items():
        codes: dict[str, int] = {}
        for one in found:
            if one.place.setting == setting:
                codes |= {code: number + codes.get(code, 0) for code, number in one.codes.items()}
        if codes:
            noun = "record" if setting in OF_NO_PATIENT else "patient"
            yield f"    # decide: {_setting(setting, codes, settings)}    # {_counts(codes, noun)}; {hint}"


HINTS = {
    "languages": "BCP-47 tags, like so or zh-Hant",
    "contact.use": " | ".join(contact_tables.MEANINGS),
    "contact.equipment": " | ".join(contact_tables.MEANINGS),
    PATIENT_ID: "the identifier that identifies a patient; keep one",
    "consent.category": "keep only what is about messages, and name what it decides",
    "flag.codes": "keep only what refuses, and name what it refuses",
}
"""The settings beside the mapping, and what a person decides there."""


def _setting(setting: str, codes: Mapping[str, int], settings: SourceSettings) -> str:
    """The setting as it would be written, with what is configured already."""
    opened = dict.fromkeys(codes, OPEN)
    if setting == "languages":
        return f"languages: {inline({**settings.languages, **opened})}"
    if setting == PATIENT_ID:
        authority, _, kind = next(iter(codes)).partition("|")
        return f"patient_id: {inline({'authority': authority, 'type': kind})}"
    group, _, name = setting.partition(".")
    if group == "contact":
        known = settings.contact.get(name) or {}
        return f"contact: {inline({**settings.contact, name: {**known, **opened}})}"
    known = settings.options.get(group) or {}
    return f"{group}: {inline({'attribute': OPEN, **known, name: [*known.get(name, ()), *codes]})}"


def _counts(codes: Mapping[str, int], noun: str = "patient") -> str:
    """How many have each code."""
    most = max(codes.values())
    return ", ".join(f"{code} {number}" for code, number in codes.items()) + _number(most, noun).removeprefix(str(most))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
