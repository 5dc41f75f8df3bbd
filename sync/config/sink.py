"""Builds what writes opt-outs to a source's EMR from its ``write_back`` part (``sync.config.write_back``).

What would be written is read by the source's own mapping here. If that does not deny, it is an error: only refusals are written.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from adapters.base import Payload, Refusal, SourceSettings
from adapters.fhir.write_back import DenyingConsent, DenyingExtension, consent, with_extension
from adapters.hl7v2.write_back import DenyingField, message
from adapters.registry import build
from store.domain.write_back import ATTRIBUTES
from store.preference import DENIED, PatientStatements
from sync.config.document import Document
from sync.config.problems import Path, one_of
from sync.config.settings import ConfiguredWriteBack
from sync.config.write_back import A31, CONSENT, PATIENT, WORKLIST, DenialPart, WriteBackPart

NEEDS = {PATIENT: "extension", CONSENT: "category", A31: "field"}
Denying = DenyingExtension | DenyingConsent | DenyingField


def write_back(document: Document, path: Path, part: WriteBackPart, settings: SourceSettings) -> ConfiguredWriteBack | None:
    """The sink as it is run; ``None`` after errors were reported."""
    if part.sink == WORKLIST:
        return _worklist(document, path, part)
    protocol = part.sink.partition(".")[0]
    if not settings.adapter.startswith(f"{protocol}."):
        document.mistake((*path, "sink"), f"not for {settings.adapter}; {part.sink} needs a source that reads {protocol}")
        return None
    if part.sink == A31 and not (part.connect and settings.authority):
        document.mistake(
            path, "hl7v2.a31 needs 'connect', the EMR's listener, and 'patient_id' of the source, by which the EMR finds patients"
        )
        return None
    found: dict[str, Denying] = {}
    for name, denial in part.attributes.items():
        where = (*path, "attributes", name)
        if name not in ATTRIBUTES:
            document.mistake(where, f"{name!r} is not written to EMRs. {one_of(name, ATTRIBUTES)}")
        elif (denying := _denying(part.sink, denial)) is None:
            document.mistake((*where, NEEDS[part.sink]), f"missing; {part.sink} needs it")
        elif not denies(settings, name, denying):
            document.mistake(where, f"the mapping of this source does not read this as a denial of {name}; write a value that it does")
        else:
            found[name] = denying
    options = part.model_dump(include={"connect", "tls", "application", "facility"}, exclude_none=True) if part.sink == A31 else {}
    return ConfiguredWriteBack(part.sink, found, part.give_up_after, options) if len(found) == len(part.attributes) else None


def _worklist(document: Document, path: Path, part: WriteBackPart) -> ConfiguredWriteBack | None:
    """Staff type the opt-outs in, so nothing but their attributes is configured."""
    ok = True
    for name, denial in part.attributes.items():
        where = (*path, "attributes", name)
        if name not in ATTRIBUTES:
            document.mistake(where, f"{name!r} is not written to EMRs. {one_of(name, ATTRIBUTES)}")
        elif denial != DenialPart():
            document.mistake(where, "must be {}: staff type it in")
        ok = ok and name in ATTRIBUTES and denial == DenialPart()
    return ConfiguredWriteBack(part.sink, dict.fromkeys(part.attributes), part.give_up_after) if ok else None


def denies(settings: SourceSettings, attribute: str, denying: Denying) -> bool:
    """Whether the source's mapping reads what would be written as denied."""
    now = datetime.now(UTC)
    items = build(settings).mapper.read(Payload(_sample(settings, attribute, denying, now), "check", now))
    stated = [one.statements for one in items if isinstance(one, PatientStatements)]
    return any(attribute in one and one[attribute].value == DENIED for one in stated)


def _sample(settings: SourceSettings, attribute: str, denying: Denying, now: datetime) -> bytes:
    """What would be written about a patient."""
    if isinstance(denying, DenyingField):
        return message(f"1^^^{settings.authority}^{next(iter(settings.identifier_types), 'MR')}", denying, "1", now, {})
    if isinstance(denying, DenyingConsent):
        return json.dumps(consent("check", Refusal("check", attribute, (), now), denying)).encode()
    identifier = {"system": settings.authority or "urn:example", "value": "1"}
    return json.dumps(with_extension({"resourceType": "Patient", "id": "check", "identifier": [identifier]}, denying)).encode()


def _denying(sink: str, part: DenialPart) -> Denying | None:
    if sink == A31:
        return DenyingField(part.field, part.code) if part.field else None
    if sink == CONSENT:
        return DenyingConsent(_coding(part.category), _coding(part.scope)) if part.category else None
    value: str | bool = part.value == "true" if part.type == "valueBoolean" else part.value
    return DenyingExtension(part.extension, part.type, value) if part.extension else None


def _coding(text: str) -> tuple[str, str]:
    system, _, code = text.partition("|")
    return system, code
