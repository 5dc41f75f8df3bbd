"""FHIR R4 resources of an invented patient, as plain data. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from adapters.rehearsal.chart import ChartEntry
from adapters.rehearsal.dialect import DO_NOT_CONTACT, MRN_SYSTEM, PREFERRED_METHOD, TEXTING_OK
from adapters.rehearsal.population import InventedPerson, InventedPhone

Resource = dict[str, Any]
USES = {"cell": "mobile", "home": "home", "work": "work"}
MR = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
RESTRICTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
ID_PREFIX = "rp-"


def resource_id(index: int) -> str:
    return f"{ID_PREFIX}{index}"


def index_of(identifier: str) -> int | None:
    """The patient with a resource ID, or ``None`` if the ID is not from this population."""
    digits = identifier.removeprefix(ID_PREFIX)
    return int(digits) if digits != identifier and digits.isascii() and digits.isdigit() else None


def instant(time: datetime) -> str:
    """A FHIR instant in UTC with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def patient(entry: ChartEntry) -> Resource:
    """The Patient resource. A restricted record has no telecom, as in NHS PDS (github.com/NHSDigital/personal-demographics-service-api)."""
    person = entry.person
    meta: Resource = {"versionId": str(entry.version), "lastUpdated": instant(entry.updated)}
    if person.restricted:
        meta["security"] = [RESTRICTED]
    resource: Resource = {
        "resourceType": "Patient",
        "id": resource_id(person.index),
        "meta": meta,
        "extension": _extensions(person),
        "identifier": [{"use": "usual", "type": MR, "system": MRN_SYSTEM, "value": person.mrn}],
        "active": True,
        "name": [{"use": "official", "family": person.family, "given": [person.given]}],
        "telecom": [] if person.restricted else _telecom(person),
        "gender": person.gender,
        "birthDate": person.birth_date.isoformat(),
        "communication": _communication(person),
    }
    if person.deceased_on:
        resource["deceasedDateTime"] = person.deceased_on.isoformat()
    return {key: value for key, value in resource.items() if value != []}


def searchset(entries: Iterable[Resource], *, base_url: str, total: int, links: dict[str, str]) -> Resource:
    """A Bundle of search results; ``links`` are relation -> URL. Without results it has no ``entry``: FHIR forbids empty lists."""
    found = [{"fullUrl": f"{base_url}/Patient/{one['id']}", "resource": one, "search": {"mode": "match"}} for one in entries]
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": total,
        "link": [{"relation": relation, "url": url} for relation, url in links.items()],
    }
    return bundle | {"entry": found} if found else bundle


def outcome(code: str, diagnostics: str) -> Resource:
    """An OperationOutcome; ``code`` is from the IssueType value set."""
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code, "diagnostics": diagnostics}]}


def capability(*, token_url: str, search: Iterable[tuple[str, str]]) -> Resource:
    """The CapabilityStatement; ``search`` are the search parameters of Patient as (name, type)."""
    oauth = [{"url": "token", "valueUri": token_url}]
    security = {
        "service": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}]}],
        "extension": [{"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": oauth}],
    }
    read = {
        "type": "Patient",
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "searchParam": [{"name": name, "type": kind} for name, kind in search],
        "operation": [_export("patient-export")],
    }
    group = {"type": "Group", "interaction": [{"code": "read"}], "operation": [_export("group-export")]}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "software": {"name": "Rehearsal EMR"},
        "implementation": {"description": "A simulated EMR for practice. All patients are invented"},
        "rest": [{"mode": "server", "security": security, "resource": [read, group], "operation": [_export("export")]}],
    }


def _export(name: str) -> Resource:
    return {"name": "export", "definition": f"http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{name}"}


def _extensions(person: InventedPerson) -> list[Resource]:
    found: list[Resource] = []
    if person.do_not_contact is not None:
        found.append({"url": DO_NOT_CONTACT, "valueBoolean": person.do_not_contact})
    if person.preferred_method is not None:
        found.append({"url": PREFERRED_METHOD, "valueCode": person.preferred_method})
    if person.texting_ok is not None:
        found.append({"url": TEXTING_OK, "valueBoolean": person.texting_ok})
    return found


def _telecom(person: InventedPerson) -> list[Resource]:
    email = [{"system": "email", "value": person.email, "use": "home"}] if person.email else []
    return [_phone(number) for number in person.numbers] + email


def _phone(number: InventedPhone) -> Resource:
    phone: Resource = {"system": "phone", "value": _written(number.e164), "use": USES[number.kind]}
    return phone | {"rank": number.rank} if number.rank else phone


def _written(e164: str) -> str:
    """The number with hyphens: +1-217-555-0123."""
    return f"{e164[:2]}-{e164[2:5]}-{e164[5:8]}-{e164[8:]}"


def _communication(person: InventedPerson) -> list[Resource]:
    if person.language is None:
        return []
    code, _, name = person.language
    return [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": code, "display": name}]}, "preferred": True}]
