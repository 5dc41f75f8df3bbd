"""What is not understood and may turn the meaning round is not processed; what it might refuse is a problem of its attribute."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import Filtered
from store.preference import Statement
from tests.adapters.fhir.made import patient, read, said, stated
from tests.adapters.fhir.test_records import DNC, SMS, consent, flag

NOT = {"url": "https://codes.example/negated", "valueBoolean": True}
CALLS = {"consent.voice": {"from": "Patient.extension('https://x.example/calls').valueCode", "values": {"N": "denied", "Y": "granted"}}}


@pytest.mark.parametrize(
    "element",
    [{"modifierExtension": [NOT]}, {"modifierExtension": NOT}, {"modifierExtension": ["x"]}, {"implicitRules": "https://x.example"}],
)
def test_patient_states_nothing_and_all_that_it_might_refuse_is_unreadable(element: dict[str, Any]) -> None:
    resource = patient(active=True, extension=[{"url": "https://x.example/calls", "valueCode": "Y"}], **element)
    found = said(resource, mapping=CALLS)
    assert not found.statements
    assert found.identifiers[0].value == "M1"
    assert {(one.reason, one.attribute) for one in found.problems} == {
        ("modifier_not_understood", name) for name in ("consent.voice", "deceased", "restricted")
    }


def test_patient_that_is_not_understood_is_not_merged_away() -> None:
    resource = patient(active=False, modifierExtension=[NOT], link=[{"type": "replaced-by", "other": {"reference": "Patient/p2"}}])
    assert len(read(resource)) == 1


def test_link_that_is_not_understood_is_not_followed() -> None:
    link = {"type": "replaced-by", "other": {"reference": "Patient/p2"}, "modifierExtension": [NOT]}
    found = said(patient(active=False, link=[link]))
    assert [one.reason for one in found.problems] == ["modifier_not_understood"]


@pytest.mark.parametrize("decision", ["permit", "deny"])
def test_consent_states_nothing_whatever_it_decides(decision: str) -> None:
    found = said(consent(decision=decision, modifierExtension=[NOT]), options=SMS)
    assert not found.statements
    assert [(one.reason, one.path, one.attribute) for one in found.problems] == [
        ("modifier_not_understood", "Consent.modifierExtension[0]", "consent.sms")
    ]


def test_consent_about_other_matters_is_none_of_our_concern() -> None:
    other = consent(category=[{"coding": [{"code": "research"}]}], modifierExtension=[NOT])
    assert read(other, options=SMS) == [Filtered("consent_not_configured", "file:1")]


def test_provision_that_is_not_understood_permits_nothing_and_takes_no_other_refusal_with_it() -> None:
    odd = {"type": "permit", "modifierExtension": [NOT]}
    found = said(consent(provision=odd), options=SMS)
    assert (found.statements, [one.attribute for one in found.problems]) == ({}, ["consent.sms"])
    found = said(consent(provision={"type": "permit", "provision": [odd, {"type": "deny"}]}), options=SMS)
    assert found.statements == {"consent.sms": Statement("denied", "Consent.provision.provision[1].type")}
    assert [one.reason for one in found.problems] == ["code_unmapped"]


def test_flag_of_a_configured_code_is_unreadable_and_another_is_not_asked() -> None:
    found = said(flag(modifierExtension=[NOT]), mapping=DNC)
    assert (found.statements, [one.attribute for one in found.problems]) == ({}, ["do_not_contact"])
    other = flag(modifierExtension=[NOT], code={"coding": [{"code": "allergy"}]})
    assert read(other, mapping=DNC) == [Filtered("flag_not_configured", "file:1")]


def test_site_can_name_what_does_not_matter() -> None:
    options = {"understood": [NOT["url"], "https://x.example"]}
    resource = patient(active=True, modifierExtension=[NOT], implicitRules="https://x.example")
    assert set(stated(resource, options=options)) == {"active"}
    assert set(stated(consent(decision="deny", modifierExtension=[NOT]), options=SMS | options)) == {"consent.sms"}


def test_what_a_rule_reads_is_understood() -> None:
    rule = {"do_not_contact": {"from": f"Patient.modifierExtension.where(url = '{NOT['url']}').valueBoolean", "values": {"true": "yes"}}}
    assert stated(patient(modifierExtension=[NOT]), mapping=rule)["do_not_contact"].value == "yes"
