"""Rules for identifiers that all protocols share: placeholders, several identifiers instead of one, and their description. Pure.

Placeholders are values that systems write if they do not know an identifier. The list is data (``placeholder_identifiers.txt``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from store.preference import Identifier, PatientStatements, refusal, stops_contact

MEDICAL_RECORD = "MR"  # HL7 table 0203, which FHIR uses too
SAME_DIGIT = 7
"""A value of at least this many digits that are all the same is a placeholder; zeros are one at any length."""
SEVERAL_OWN = "several_own_identifiers"
SEVERAL_OWN_DETAIL = "several identifiers have the source's issuer and type: the first active one is used; refusals apply to all"
A_NAME = re.compile(r"[A-Za-z][A-Za-z _.-]{0,39}\d{0,2}|urn:oid:[0-9.]{3,80}|https?://[a-z.-]{3,40}[a-z/._-]{0,60}", re.IGNORECASE)
A_TYPE = re.compile(r"[A-Za-z0-9]{1,6}")


class PatientIdentifiers(NamedTuple):
    """The identifiers of a payload, the source's own first. ``others`` have the same authority and type, so they are other patients."""

    identifiers: tuple[Identifier, ...]
    others: tuple[Identifier, ...] = ()


def one_each(own: Iterable[Identifier]) -> tuple[list[Identifier], list[Identifier]]:
    """The first identifier of each authority and type, and the rest."""
    kept: dict[tuple[str, str], Identifier] = {}
    found = list(dict.fromkeys(own))
    if len(found) < 2:
        return found, []
    for one in found:
        kept.setdefault((one.authority.casefold(), one.type.casefold()), one)
    return list(kept.values()), [one for one in found if one not in kept.values()]


def best_guess(found: Sequence[Identifier]) -> list[Identifier]:
    """The patient identifier of a source without configured authority and type: the first MRN, otherwise the first of any type."""
    return ([one for one in found if one.type.upper() == MEDICAL_RECORD] or list(found))[:1]


def for_others(item: PatientStatements, others: Sequence[Identifier]) -> list[PatientStatements]:
    """The refusals and possible refusals of a record, for each further own identifier: the patient it is about is ambiguous."""
    refused = {name: one for name, one in item.statements.items() if stops_contact(name, one.value)}
    unread = tuple(one for one in item.problems if refusal(one.attribute) is not None)
    if not refused and not unread:
        return []
    return [replace(item, identifiers=(one,), statements=refused, restricted=False, problems=unread, codes={}, later=()) for one in others]


def describe(found: Sequence[tuple[Identifier, str]], known: Collection[str]) -> str:
    """The received authorities and types with their flaws, as text for a reason. Never contains a value, or text that may be one."""
    return f"; received: {', '.join(dict.fromkeys(_shown(one, flaw, known) for one, flaw in found))}" if found else ""


def _shown(one: Identifier, flaw: str, known: Collection[str]) -> str:
    name = one.authority if one.authority in known or A_NAME.fullmatch(one.authority) else "another issuer"
    kind = one.type if A_TYPE.fullmatch(one.type) else "another type" if one.type else "no type"
    return f"{name}/{kind}{f' ({flaw})' if flaw else ''}"


def is_placeholder(value: str, more: Collection[str] = ()) -> bool:
    """Whether the value of an identifier is a placeholder. ``more`` are placeholders of the site (:func:`folded`)."""
    text = fold(value)
    return not text or text in more or text in _listed() or _is_one_digit(text)


def folded(values: Iterable[str]) -> frozenset[str]:
    """Placeholders of a site, folded for :func:`is_placeholder`."""
    return frozenset(fold(value) for value in values)


def fold(value: str) -> str:
    """The letters and digits of a value, casefolded."""
    text = value if value.isalnum() else "".join([letter for letter in value if letter.isalnum()])
    return text.casefold()


def _is_one_digit(text: str) -> bool:
    first = text[0]
    return first.isdecimal() and (first == "0" or len(text) >= SAME_DIGIT) and text.count(first) == len(text)


@cache
def _listed() -> frozenset[str]:
    lines = files("adapters.mapping").joinpath("placeholder_identifiers.txt").read_text("utf-8").splitlines()
    return folded(line for line in lines if line and not line.startswith("#"))
