"""The identifiers of the patient that a FHIR resource is about, with the resource id. Pure. References are in ``reference``.

A resource id is an identifier of its source: ``Identifier(<source>, "RI", <id>)``. Consents, Flags and links have only that, and so they
match the patient. Source: FHIR R4 Identifier; types of HL7 table 0203.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.base import SourceSettings
from adapters.fhir.dates import ended
from adapters.mapping.identifiers import PatientIdentifiers, best_guess, describe, is_placeholder, one_each
from adapters.mapping.legible import MARK
from store.preference import Identifier

RESOURCE_ID = "RI"
TYPE_SYSTEM = "v2-0203"
# Identifiers that several people can share (accounts, visits, insurance) would join different patients. Those not needed here (social
# security, driver's license, passport, tax) are not stored at all.
NOT_KEPT = frozenset({
    "AN", "ANC", "AND", "ANT", "ANON", "AM", "VN", "SN", "MB", "NIIP", "MC", "MA", "MCN", "GN", "SS", "DL", "PPN", "TAX", "TN", "CZ",
    "BC", "DR", "DS", "BA", "BR", "BRN", "CC", "CAAI",
})  # fmt: skip
SYSTEMS_NOT_KEPT = frozenset({"http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"})


def identifiers(resource: dict[str, Any], settings: SourceSettings, today: str) -> PatientIdentifiers:
    """The usable identifiers of a Patient, each once: the one by which the source knows it, the resource id, then the others.

    Without a configured identifier, the source knows its patients by the resource id; a Patient without an id by a medical record number,
    else by the first identifier.
    """
    stated = _stated(resource, settings, today)
    own, others = one_each(_known_by(stated, settings))
    if _is_text(resource.get("id")):
        own.append(resource_id(settings, resource["id"]))
    if not own and not settings.authority:
        own = best_guess(stated)
    kept = [one for one in stated if one not in others] if others else stated
    return PatientIdentifiers(tuple(dict.fromkeys(own + kept)) if own else (), tuple(others))


def described(resource: dict[str, Any], settings: SourceSettings, today: str) -> str:
    """The issuers and types of a Patient's identifiers for an error message, and which of them have ended."""
    listed = resource.get("identifier")
    entries = [one for one in listed if type(one) is dict] if type(listed) is list else []
    timeless = [(one, _identifier({key: one[key] for key in one.keys() - {"period", "use"}}, settings, "")) for one in entries]
    found = [(identifier, "" if _identifier(one, settings, today) else "ended") for one, identifier in timeless if identifier]
    return describe(found, set(settings.authorities.values()))


def _stated(resource: dict[str, Any], settings: SourceSettings, today: str) -> list[Identifier]:
    """All identifiers that are in use and identify somebody."""
    entries = resource.get("identifier")
    return [identifier for entry in entries if (identifier := _identifier(entry, settings, today))] if type(entries) is list else []


def _known_by(stated: Sequence[Identifier], settings: SourceSettings) -> list[Identifier]:
    """The identifiers of the configured issuer: with a configured type, else without a type."""
    if not settings.authority:
        return []
    own = settings.own_authority.casefold()
    issued = [one for one in stated if one.authority.casefold() == own]
    return [one for one in issued if settings.takes_type(one.type)] or [one for one in issued if not one.type]


def resource_id(settings: SourceSettings, value: str) -> Identifier:
    return Identifier(settings.name, RESOURCE_ID, value)


def logical(entry: Any, settings: SourceSettings) -> Identifier | None:
    """The logical identifier of a Reference, in use or not; only one that the source owns, or that links."""
    found = _identifier(entry, settings, "")
    return found if found and (_known_by([found], settings) or settings.links(found.authority)) else None


def deciding(resource: dict[str, Any], settings: SourceSettings, today: str) -> tuple[Identifier, ...]:
    """The identifiers that decide which patient a Patient without an id is: those that the source owns, or that link."""
    stated = _stated(resource, settings, today)
    own, _ = one_each(_known_by(stated, settings))
    return tuple(dict.fromkeys([*own, *(one for one in stated if settings.links(one.authority))]))


def _identifier(entry: Any, settings: SourceSettings, today: str) -> Identifier | None:
    if type(entry) is not dict or not _is_text(entry.get("value")) or ended(entry, today):
        return None
    kind = _type(entry.get("type"))
    system, value = entry.get("system"), entry["value"].strip()
    configured = settings.configured_type(kind)
    kind = configured or kind
    if (kind in NOT_KEPT and not configured) or is_placeholder(value, settings.placeholders):
        return None
    if _is_text(system):
        return None if system in SYSTEMS_NOT_KEPT else Identifier(settings.issuer(str(system)), kind, value)
    # Without a system, only a configured type means the configured authority: the same value of two issuers is two patients.
    return Identifier(settings.own_authority, kind, value) if settings.authority and configured else None


def _type(concept: Any) -> str:
    codings, first = concept.get("coding") if type(concept) is dict else None, ""
    for one in codings if type(codings) is list else ():
        if type(one) is dict and _is_text(code := one.get("code")):
            if TYPE_SYSTEM in str(one.get("system")):  # Oracle Health lists its own code set before table 0203
                return str(code)
            first = first or str(code)
    return first


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() not in ("", MARK)
