"""The FHIR presets, as a site's configuration would load them."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import SourceSettings
from adapters.fhir.mapping import FhirMapper
from store.preference import PatientStatements
from sync.config import presets
from tests.adapters.fhir.made import patient, payload, settings

PREFERENCE = "https://fhir-ehr.cerner.com/r4/StructureDefinition/communication-preference"
IMPORTANCE = "http://hl7.org/fhir/StructureDefinition/patient-importance"
OWN_SET = "https://fhir.cerner.example/tenant/codeSet/"
PHONES = [{"system": "phone", "value": "217-555-0101", "use": "home"}, {"system": "phone", "value": "217-555-0102", "use": "mobile"}]


def of(name: str) -> SourceSettings:
    preset = presets.preset(name)
    rules = {attribute: rule.model_dump(by_alias=True, exclude_none=True) for attribute, rule in preset.mapping.items()}
    return settings(options=preset.options, mapping=rules)


def said(name: str, resource: dict[str, Any]) -> PatientStatements:
    (item,) = FhirMapper(of(name)).read(payload(resource))
    assert isinstance(item, PatientStatements)
    return item


def values(name: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {attribute: statement.value for attribute, statement in said(name, resource).statements.items()}


def concept(standard: str, code: str, text: str) -> dict[str, Any]:
    own = {"system": OWN_SET + "1", "code": "4054467", "display": text, "userSelected": True}
    return {"coding": [own, {"system": standard, "code": code}] if standard else [own], "text": text}


def preference(topic: str, text: str, method: str, kind: str) -> dict[str, Any]:
    standard = "http://terminology.hl7.org/CodeSystem/communication-topic" if topic else ""
    return {
        "url": PREFERENCE,
        "extension": [
            {"url": "communication-type", "valueCodeableConcept": concept(standard, topic, text)},
            {"url": "contact-method", "valueCodeableConcept": concept("http://hl7.org/fhir/contact-point-system", method, method)},
            {"url": "contact-type", "valueCodeableConcept": concept("http://hl7.org/fhir/contact-point-use", kind, kind)},
        ],
    }


@pytest.mark.parametrize("name", ["fhir-standard", "oracle-health"])
def test_preset_compiles_and_names_its_sources(name: str) -> None:
    assert FhirMapper(of(name)).rules["Patient"]
    assert presets.preset(name).sources


def test_importance_vip_is_a_restricted_record() -> None:
    vip = {"url": IMPORTANCE, "valueCodeableConcept": {"coding": [{"code": "VIP"}]}}
    assert said("fhir-standard", patient(extension=[vip], telecom=[])).restricted


@pytest.mark.parametrize("code", ["STF", "unheard-of"])
def test_other_importance_says_nothing_of_protection(code: str) -> None:
    other = {"url": IMPORTANCE, "valueCodeableConcept": {"coding": [{"code": code}]}}
    assert "restricted" not in values("fhir-standard", patient(extension=[other]))


@pytest.mark.parametrize(
    ("topic", "text"), [("appointment-reminder", "Reminders"), ("", "Appointment Reminder"), ("", "appointment  reminders")]
)
def test_oracle_healths_appointment_preference_is_read(topic: str, text: str) -> None:
    found = values("oracle-health", patient(telecom=PHONES, extension=[preference(topic, text, "sms", "mobile")]))
    assert (found["preferred_method"], found["preferred_phone"]) == ("sms", "+12175550102")


@pytest.mark.parametrize(
    ("method", "stated"), [("phone", "voice"), ("sms", "sms"), ("email", "email"), ("fax", None), ("carrier-pigeon", None)]
)
def test_oracle_healths_method_becomes_ours(method: str, stated: str | None) -> None:
    found = values("oracle-health", patient(extension=[preference("appointment-reminder", "x", method, "home")]))
    assert found.get("preferred_method") == stated


def test_preference_for_another_topic_or_without_a_phone_prefers_no_phone() -> None:
    others = [preference("billing", "Statements", "phone", "home"), preference("appointment-reminder", "x", "email", "home")]
    found = values("oracle-health", patient(telecom=PHONES, extension=others))
    assert found["preferred_method"] == "email"
    assert "preferred_phone" not in found


def test_patient_without_the_extension_states_no_preference() -> None:
    assert values("oracle-health", patient()) == {}
