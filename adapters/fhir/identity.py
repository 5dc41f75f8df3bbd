"""Who a FHIR resource is about: identifiers and the resource id. Pure; references are in ``reference``.

A resource id is an identifier of its source: ``Identifier(<source>, "RI", <id>)``, so that Consent, Flag and links, which know
nothing else, meet the patient. Source: FHIR R4 Identifier; types of HL7 table 0203.
"""

from __future__ import annotations

from typing import Any

from adapters.base import SourceSettings
from adapters.fhir.moment import ended
from adapters.legible import MARK
from store.preference import Identifier

RESOURCE_ID = "RI"
TYPE_SYSTEM = "v2-0203"
# What several people can share (accounts, visits, insurance) would join strangers; what is nobody's business here
# (social security, driver's licence, passport, tax) is not kept at all.
NOT_KEPT = frozenset({
    "AN", "ANC", "AND", "ANT", "ANON", "AM", "VN", "SN", "MB", "NIIP", "MC", "MA", "MCN", "GN", "SS", "DL", "PPN", "TAX", "TN", "CZ",
    "BC", "DR", "DS", "BA", "BR", "BRN", "CC", "CAAI",
})  # fmt: skip
SYSTEMS_NOT_KEPT = frozenset({"http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"})


def identifiers(resource: dict[str, Any], settings: SourceSettings, today: str) -> tuple[Identifier, ...]:
    """Usable identifiers of a Patient without repetitions: the one the source is known by, the resource id, the others."""
    entries = resource.get("identifier")
    stated = [made for entry in entries if (made := _identifier(entry, settings, today))] if type(entries) is list else []
    known_by = [one for one in stated if _is_configured(one, settings)]
    known_by.sort(key=lambda one: one.type != settings.identifier_type)
    own = [resource_id(settings, resource["id"])] if _is_text(resource.get("id")) else []
    return tuple(dict.fromkeys((*known_by, *own, *stated)))


def resource_id(settings: SourceSettings, value: str) -> Identifier:
    return Identifier(settings.name, RESOURCE_ID, value)


def canonical(system: str, settings: SourceSettings) -> str:
    """The canonical name of an issuer; an OID is known with and without ``urn:oid:``."""
    known = settings.authorities
    return known.get(system) or known.get(system.removeprefix("urn:oid:")) or system


def logical(entry: Any, settings: SourceSettings) -> Identifier | None:
    """The identifier by which a Reference names its patient, in use or not."""
    return _identifier(entry, settings, "")


def _identifier(entry: Any, settings: SourceSettings, today: str) -> Identifier | None:
    if type(entry) is not dict or not _is_text(entry.get("value")) or ended(entry, today):
        return None
    kind = _type(entry.get("type"))
    system = entry.get("system")
    if kind in NOT_KEPT and kind != settings.identifier_type:
        return None
    if _is_text(system):
        return None if system in SYSTEMS_NOT_KEPT else Identifier(canonical(str(system), settings), kind, entry["value"].strip())
    # Without a system only the configured type may speak for the configured authority: the same value of two issuers is two patients.
    configured = bool(settings.authority and settings.identifier_type == kind and kind)
    return Identifier(settings.authority, kind, entry["value"].strip()) if configured else None


def _type(concept: Any) -> str:
    codings = concept.get("coding") if type(concept) is dict else None
    codes = [one for one in codings if type(one) is dict and _is_text(one.get("code"))] if type(codings) is list else []
    # Oracle Health lists its own code set before table 0203.
    return str(next((one["code"] for one in codes if TYPE_SYSTEM in str(one.get("system"))), codes[0]["code"] if codes else ""))


def _is_configured(identifier: Identifier, settings: SourceSettings) -> bool:
    wanted, authority = settings.identifier_type, settings.authority
    if not authority or (wanted and identifier.type not in (wanted, "")):
        return False
    return identifier.authority == authority or identifier.authority == canonical(authority, settings)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() not in ("", MARK)
