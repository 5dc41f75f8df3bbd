"""Writes a patient's opt-out to a FHIR server: as an extension of the Patient, or as a Consent that denies.

``fhir.patient`` changes the resource as it was just read, and only if nobody changed it meanwhile (``If-Match``, FHIR R4 3.1.0.5).
``fhir.consent`` creates a Consent with an identifier of its own, once (``If-None-Exist``, FHIR R4 3.1.0.8.1). Nothing here can write a
permission: ``sync.config.sink`` checks that the source's own mapping reads what is written as denied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from adapters.base import AdapterError, Refusal, SourceSettings, Unanswered, all_written
from adapters.fhir.client import FhirClient
from adapters.fhir.consent_flag import WRITTEN_BY_US
from adapters.fhir.decode import NotReadable, decode_exactly, decode_in_part, encode
from adapters.fhir.identity import RESOURCE_ID
from adapters.fhir.patient import is_incomplete
from adapters.fhir.rest import RestAdapter
from adapters.http.client import RawResponse
from adapters.http.retry import TRANSIENT

FHIR_JSON = "application/fhir+json"
HEADERS = {"Accept": FHIR_JSON, "Content-Type": FHIR_JSON}
CONFLICTS, GATEWAYS = (409, 412), (502, 504)
"""Somebody else changed the resource (R4 3.1.0.5 says 412); a gateway had no answer of the server (RFC 9110, 15.6.3 and 15.6.5)."""
ATTEMPTS = 3
"""How often a Patient that somebody else changes at the same time is read and changed again at once."""
OPT_OUT_POLICY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]}
UNKNOWN = "the source does not know the patient by a FHIR resource id"
LEFT_OUT = "the server's Patient is incomplete (a summary, masked or redacted): writing it back would delete what is missing"
DENIED_ACCESS = (401, 403)

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DenyingExtension:
    """The extension of Patient that denies: its URL, and the value as FHIR writes it (``valueBoolean`` and false)."""

    url: str
    kind: str
    value: str | bool

    def written(self) -> Resource:
        return {"url": self.url, self.kind: self.value}


@dataclass(frozen=True, slots=True)
class DenyingConsent:
    """The codings of a Consent that denies, as (system, code)."""

    category: tuple[str, str]
    scope: tuple[str, str]


class PatientSink:
    """Writes opt-outs into Patients. ``attributes``: what is written for each."""

    def __init__(self, settings: SourceSettings, attributes: Mapping[str, DenyingExtension], options: Mapping[str, Any]) -> None:
        self.source, self.open_client, self.attributes = settings.name, RestAdapter(settings).client, attributes

    def write(self, refusal: Refusal) -> bool:
        """Returns when the EMR has the opt-out: whether its Patient was changed. Raises :class:`~adapters.base.AdapterError`."""
        with closing(self.open_client()) as client:
            extension, names = self.attributes[refusal.attribute], list(resource_ids(self.source, refusal))
            return all_written(partial(self._deny, client, name, extension) for name in names)

    def _deny(self, client: FhirClient, name: str, extension: DenyingExtension) -> bool:
        for _ in range(ATTEMPTS):
            read = _ask(client, "GET", f"Patient/{quote(name, safe='')}")
            patient = with_extension(_resource(_checked(client, read)), extension)
            if patient is None:
                return False
            written = self._put(client, name, patient, _version(read, patient))
            if written.status not in CONFLICTS:
                _accepted(client, written)
                return True
        raise AdapterError("someone else changed the Patient at the same time")

    @staticmethod
    def _put(client: FhirClient, name: str, patient: Resource, version: str) -> RawResponse:
        try:
            headers = {**HEADERS, "If-Match": version}
            return client.ask_once("PUT", client.address(f"Patient/{quote(name, safe='')}"), headers, encode(patient))
        except AdapterError as error:
            raise Unanswered(str(error), permanent=error.permanent, retry_after=error.retry_after) from None


class ConsentSink:
    """Writes opt-outs as Consents."""

    def __init__(self, settings: SourceSettings, attributes: Mapping[str, DenyingConsent], options: Mapping[str, Any]) -> None:
        self.source, self.open_client, self.attributes = settings.name, RestAdapter(settings).client, attributes

    def write(self, refusal: Refusal) -> bool:
        """Returns ``True`` when the EMR has the opt-out, in a Consent of ours. Raises :class:`~adapters.base.AdapterError`."""
        with closing(self.open_client()) as client:
            names = list(resource_ids(self.source, refusal))
            return all_written(partial(self._deny, client, name, refusal) for name in names)

    def _deny(self, client: FhirClient, name: str, refusal: Refusal) -> bool:
        body = consent(name, refusal, self.attributes[refusal.attribute])
        name_of_it = f"{WRITTEN_BY_US}|{body['identifier'][0]['value']}"
        once = f"identifier={name_of_it}"
        try:
            answer = _ask(client, "POST", "Consent", body, {"If-None-Exist": once})
        except AdapterError as error:
            raise Unanswered(str(error), permanent=error.permanent, retry_after=error.retry_after) from None
        if answer.status != 412 or not self._exists(client, name_of_it):
            _accepted(client, answer)
        return True

    @staticmethod
    def _exists(client: FhirClient, identifier: str) -> bool:
        """Whether 412 means what FHIR says: several Consents have the identifier, so it was created before (R4 3.1.0.8.1)."""
        found = _checked(client, _ask(client, "GET", f"Consent?identifier={quote(identifier, safe='')}"))
        try:
            entries = decode_in_part(found.body)[0].get("entry")
        except NotReadable as error:
            raise AdapterError(f"the server's search result cannot be read: {error}") from None
        return any(is_consent(one) for one in entries) if type(entries) is list else False


def resource_ids(source: str, refusal: Refusal) -> Iterator[str]:
    """The patient's resource ids at the source. Raises :class:`~adapters.base.AdapterError` if there is none."""
    found = [one.value for one in refusal.identifiers if one.type.upper() == RESOURCE_ID and one.authority.casefold() == source.casefold()]
    if not found:
        raise AdapterError(UNKNOWN, permanent=True)
    yield from found


def with_extension(patient: Resource, extension: DenyingExtension) -> Resource | None:
    """The Patient with the extension; ``None`` if it has it already. Everything else stays as it is."""
    listed = patient.get("extension")
    found = listed if type(listed) is list else []
    same = [one for one in found if type(one) is dict and one.get("url") == extension.url]
    if same == [extension.written()]:
        return None
    return {**patient, "extension": [*(one for one in found if one not in same), extension.written()]}


def consent(patient: str, refusal: Refusal, coded: DenyingConsent) -> Resource:
    """The Consent (R4) that denies: active, about this patient, since the opt-out."""
    return {
        "resourceType": "Consent",
        "identifier": [{"system": WRITTEN_BY_US, "value": f"{refusal.key}-{patient}"}],
        "status": "active",
        "scope": {"coding": [dict(zip(("system", "code"), coded.scope, strict=True))]},
        "category": [{"coding": [dict(zip(("system", "code"), coded.category, strict=True))]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": refusal.at.isoformat(timespec="seconds"),
        "policyRule": OPT_OUT_POLICY,
        "provision": {"type": "deny"},
    }


def _ask(client: FhirClient, method: str, path: str, body: Resource | None = None, headers: Mapping[str, str] | None = None) -> RawResponse:
    data = None if body is None else encode(body)
    return client.ask(method, client.address(path), {**HEADERS, **(headers or {})}, data)


def _checked(client: FhirClient, answer: RawResponse) -> RawResponse:
    """The answer, if it is a success. A refusal of the content is permanent; access, conflicts and failures may change."""
    if 200 <= answer.status < 300:
        return answer
    permanent = 400 <= answer.status < 500 and answer.status not in (*TRANSIENT, *CONFLICTS, *DENIED_ACCESS)
    retry_after = client.retry_after(answer.headers)
    raise AdapterError(f"the server returned {answer.status}{client.described(answer.body)}", permanent=permanent, retry_after=retry_after)


def is_consent(entry: Any) -> bool:
    """Whether an entry of a search result is a Consent, and not a message about the search."""
    resource = entry.get("resource") if type(entry) is dict else None
    return type(resource) is dict and resource.get("resourceType") == "Consent"


def _accepted(client: FhirClient, answer: RawResponse) -> None:
    """Raises unless the change was accepted; :class:`Unanswered` if only a gateway answered, since the EMR may have it."""
    try:
        _checked(client, answer)
    except AdapterError as error:
        if answer.status not in GATEWAYS:
            raise
        raise Unanswered(str(error), permanent=error.permanent, retry_after=error.retry_after) from None


def _resource(answer: RawResponse) -> Resource:
    try:
        found = decode_exactly(answer.body)
    except NotReadable as error:
        raise AdapterError(f"the server's Patient cannot be read: {error}") from None
    if found["resourceType"] != "Patient":
        raise AdapterError("reading a Patient returned another resource")
    if is_incomplete(found):
        raise AdapterError(LEFT_OUT, permanent=True)
    return found


def _version(answer: RawResponse, patient: Resource) -> str:
    """The version that was read, as an entity tag. Raises :class:`~adapters.base.AdapterError` if there is none."""
    meta = patient.get("meta")
    number = meta.get("versionId") if type(meta) is dict else None
    if tag := answer.headers.get("ETag") or (f'W/"{number}"' if number else ""):
        return tag
    raise AdapterError("the server has no versions of Patients, so a change by someone else could be overwritten", permanent=True)
