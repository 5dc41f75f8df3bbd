"""The ``write_back`` part of a source: which opt-outs are written to its EMR, and how. Off unless it is there.

What would be written is read by the source's own mapping here. If that does not deny, it is an error: only refusals are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from adapters.base import Payload, Refusal, SourceSettings
from adapters.fhir.write_back import DenyingConsent, DenyingExtension, consent, with_extension
from adapters.schema import Duration, SettingsGroup
from store.domain.write_back import attribute_of
from store.patients.write_backs import CHANNELS
from store.preference import DENIED, PatientStatements
from sync.config.document import Document
from sync.config.problems import Path, one_of
from sync.config.settings import ConfiguredWriteBack

PATIENT, CONSENT = "fhir.patient", "fhir.consent"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope|patient-privacy"
ATTRIBUTES = tuple(map(attribute_of, CHANNELS))


class DenialPart(SettingsGroup):
    """What is written for one attribute: an ``extension`` with a value, or the codings of a Consent."""

    extension: str | None = None
    type: Literal["valueBoolean", "valueCode", "valueString"] = "valueBoolean"
    value: str = "false"
    category: str | None = None
    scope: str = SCOPE

    @model_validator(mode="after")
    def _is_whole(self) -> DenialPart:
        if self.type == "valueBoolean" and self.value not in ("true", "false"):
            raise ValueError("value must be true or false for valueBoolean")
        for one in (self.category, self.scope):
            if one is not None and not all(one.partition("|")):
                raise ValueError("category and scope must be written as system|code")
        return self


class WriteBackPart(SettingsGroup):
    """``echoed_by``: other sources that read the same EMR, and so repeat what is written."""

    sink: Literal["fhir.patient", "fhir.consent"]
    attributes: dict[str, DenialPart] = Field(min_length=1)
    echoed_by: list[str] = Field(default_factory=list)
    give_up_after: Duration = timedelta(days=3)


def write_back(document: Document, path: Path, part: WriteBackPart, settings: SourceSettings) -> ConfiguredWriteBack | None:
    """The sink as it is run; ``None`` after errors were reported."""
    if not settings.adapter.startswith("fhir."):
        document.mistake((*path, "sink"), f"not for {settings.adapter}; {part.sink} needs a source of fhir.rest or fhir.bulk")
        return None
    found: dict[str, DenyingExtension | DenyingConsent] = {}
    for name, denial in part.attributes.items():
        where = (*path, "attributes", name)
        if name not in ATTRIBUTES:
            document.mistake(where, f"{name!r} is not written to EMRs. {one_of(name, ATTRIBUTES)}")
        elif (denying := _denying(part.sink, denial)) is None:
            needed = "extension" if part.sink == PATIENT else "category"
            document.mistake((*where, needed), f"missing; {part.sink} needs it")
        elif not denies(settings, name, denying):
            document.mistake(where, f"the mapping of this source does not read this as {name} denied; write what it reads so")
        else:
            found[name] = denying
    return ConfiguredWriteBack(part.sink, found, part.give_up_after) if len(found) == len(part.attributes) else None


def denies(settings: SourceSettings, attribute: str, denying: DenyingExtension | DenyingConsent) -> bool:
    """Whether the source's mapping reads what would be written as denied."""
    from adapters.fhir.mapping import FhirMapper  # slow to import

    now = datetime.now(UTC)
    refusal = Refusal("check", attribute, (), now)
    identifier = {"system": settings.authority or "urn:example", "value": "check"}
    patient = {"resourceType": "Patient", "id": "check", "identifier": [identifier]}
    written = with_extension(patient, denying) if isinstance(denying, DenyingExtension) else consent("check", refusal, denying)
    items = FhirMapper(settings).read_unconfirmed(Payload(json.dumps(written).encode(), "check", now))
    stated = [one.statements for one in items if isinstance(one, PatientStatements)]
    return any(attribute in one and one[attribute].value == DENIED for one in stated)


def echoes(parts: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Source -> the sources whose writing it repeats. ``parts``: the ``write_back`` of each source."""
    found: dict[str, set[str]] = {}
    for name, part in parts.items():
        if part is not None:
            for one in (name, *part.echoed_by):
                found.setdefault(one, set()).add(name)
    return {name: frozenset(of) for name, of in found.items()}


def _denying(sink: str, part: DenialPart) -> DenyingExtension | DenyingConsent | None:
    if sink == PATIENT:
        value: str | bool = part.value == "true" if part.type == "valueBoolean" else part.value
        return DenyingExtension(part.extension, part.type, value) if part.extension else None
    return DenyingConsent(_coding(part.category), _coding(part.scope)) if part.category else None


def _coding(text: str) -> tuple[str, str]:
    system, _, code = text.partition("|")
    return system, code
