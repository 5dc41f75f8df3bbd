"""A modifier that is not understood: what it stands in permits nothing, and is unreadable; what refuses in it counts all the same."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest

from adapters.base import Filtered
from adapters.fhir.bundle import read as bundle_page
from store.preference import PatientStatements, Statement
from tests.adapters.fhir.made import CONFIDENTIALITY, patient, read, said, stated
from tests.adapters.fhir.test_records import DNC, SMS, consent, flag, provision

NOT = {"url": "https://codes.example/negated", "valueBoolean": True}
CONTAINED: dict[str, Any] = {"contained": [{"resourceType": "Patient", "id": "x", "identifier": [{"value": "M1"}]}]}
NESTED_IN_CONSENT = (
    "Consent.meta",
    "Consent.category[0]",
    "Consent.category[0].coding[0]",
    "Consent.patient",
    "Consent._dateTime",
    "Consent.policyRule",
    "Consent.policyRule.coding[0]",
    "Consent.provision",
    "Consent.provision._type",
    "Consent.provision.period",
    "Consent.provision.actor[0].reference",
    "Consent.provision.provision[0].code[0].coding[0]",
    "Consent.contained[0].identifier[0]",
)
EVERYTHING = {"consent.voice", "active", "deceased", "restricted", "language", "phones", "email"}
ALL_THAT_MAY_REFUSE = {"consent.voice", "deceased", "restricted"}
PLACE = re.compile(r"\.(\w+)(?:\[0\])?")
CALLS = {"consent.voice": {"from": "Patient.extension('https://x.example/calls').valueCode", "values": {"N": "denied", "Y": "granted"}}}


def modified(resource: dict[str, Any], place: str) -> dict[str, Any]:
    """The resource with a modifier extension that nobody knows at the place, whose elements are made where they are missing."""
    made = copy.deepcopy(resource)
    element: Any = made
    for name in PLACE.finditer(place):
        element = element.setdefault(name[1], [{}] if name[0].endswith("]") else {})
        element = element[0] if name[0].endswith("]") else element
    element["modifierExtension"] = [NOT]
    return made


def problems(found: PatientStatements) -> set[tuple[str, str, str]]:
    return {(one.reason, one.path, one.attribute) for one in found.problems}


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


CELL = {"system": "phone", "value": "217-555-0123", "period": {"start": "2026-01-01"}}


@pytest.mark.parametrize(
    ("place", "lost", "unreadable"),
    [
        ("Patient", EVERYTHING, ALL_THAT_MAY_REFUSE),
        ("Patient.identifier[0].type", EVERYTHING, ALL_THAT_MAY_REFUSE),
        ("Patient.extension[0]", {"consent.voice"}, {"consent.voice"}),
        ("Patient.extension[0]._valueCode", {"consent.voice"}, {"consent.voice"}),
        ("Patient._deceasedBoolean", {"deceased"}, {"deceased"}),
        ("Patient.meta", {"restricted", "email"}, {"restricted"}),
        ("Patient.meta.security[0]", {"restricted", "email"}, {"restricted"}),
        ("Patient._active", {"active"}, {"active"}),
        ("Patient.communication[0].language.coding[0]", {"language"}, {"language"}),
        ("Patient.telecom[0]", {"phones", "email"}, {"phones", "email", "preferred_phone"}),
        ("Patient.telecom[0].period", {"phones", "email"}, {"phones", "email", "preferred_phone"}),
        ("Patient.contact[0]", set(), set()),
    ],
)
def test_patient_permits_nothing_by_what_carries_one_at_any_depth(place: str, lost: set[str], unreadable: set[str]) -> None:
    resource = patient(
        active=True,
        deceasedBoolean=False,
        extension=[{"url": "https://x.example/calls", "valueCode": "Y"}],
        communication=[{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}}],
        telecom=[CELL],
    )
    resource["meta"]["security"] = [{"system": CONFIDENTIALITY, "code": "N"}]
    plain, found = said(resource, mapping=CALLS), said(modified(resource, place), mapping=CALLS)
    assert set(plain.statements) - set(found.statements) == lost
    assert {one.attribute for one in found.problems} == unreadable
    assert {one.reason for one in found.problems} <= {"modifier_not_understood"}
    assert not lost & set(found.codes)


@pytest.mark.parametrize(
    "place", ["Patient", "Patient.identifier[0]", "Patient.extension[0]", "Patient._deceasedBoolean", "Patient.meta.security[0]"]
)
def test_what_a_patient_refuses_counts_wherever_one_stands(place: str) -> None:
    resource = patient(deceasedBoolean=True, extension=[{"url": "https://x.example/calls", "valueCode": "N"}])
    resource["meta"]["security"] = [{"system": CONFIDENTIALITY, "code": "R"}]
    found = said(modified(resource, place), mapping=CALLS)
    values = {name: one.value for name, one in found.statements.items()}
    assert values == {"consent.voice": "denied", "deceased": True, "restricted": True}
    assert found.restricted
    assert found.problems


def test_a_consent_of_each_number_is_not_permitted_at_a_contact_point_with_one() -> None:
    own = {"url": "https://x.example/ok", "valueBoolean": True}
    rule = {
        "consent.sms#*": {
            "from": f"Patient.telecom.extension('{own['url']}').valueBoolean",
            "values": {"true": "granted", "false": "denied"},
        }
    }
    resource = patient(telecom=[CELL | {"extension": [own]}])
    assert stated(resource, mapping=rule)["consent.sms#+12175550123"].value == "granted"
    found = said(modified(resource, "Patient.telecom[0].extension[0]"), mapping=rule)
    assert not found.statements
    assert "consent.sms" in {one.attribute for one in found.problems}
    denied = patient(telecom=[CELL | {"extension": [own | {"valueBoolean": False}]}])
    assert stated(modified(denied, "Patient.telecom[0]"), mapping=rule)["consent.sms#+12175550123"].value == "denied"


@pytest.mark.parametrize("place", ["Bundle", "Bundle.meta", "Bundle.entry[0]", "Bundle.entry[0].search"])
@pytest.mark.parametrize(("decision", "statements"), [("permit", {}), ("deny", {"consent.sms": "denied"})])
def test_a_bundle_permits_nothing_by_an_entry_round_which_one_stands(place: str, decision: str, statements: dict[str, str]) -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": consent(provision=provision(decision)), "search": {"mode": "match"}}]}
    found = said(modified(bundle, place), options=SMS)
    assert {name: one.value for name, one in found.statements.items()} == statements
    assert problems(found) == {("modifier_not_understood", f"{place}.modifierExtension[0]", "consent.sms")}
    page = bundle_page(json.dumps(modified(bundle, place)).encode(), "https://fhir.example/Consent")
    (item,) = [item for body in page.resources for item in read(body, options=SMS)]
    assert isinstance(item, PatientStatements)
    assert ({name: one.value for name, one in item.statements.items()}, len(item.problems)) == (statements, 1)


def test_patient_that_is_not_understood_is_not_merged_away() -> None:
    resource = patient(active=False, modifierExtension=[NOT], link=[{"type": "replaced-by", "other": {"reference": "Patient/p2"}}])
    assert len(read(resource)) == 1


def test_link_that_is_not_understood_is_not_followed() -> None:
    link = {"type": "replaced-by", "other": {"reference": "Patient/p2"}}
    for place in ("Patient.link[0]", "Patient.link[0].other", "Patient.link[0]._type"):
        found = said(modified(patient(active=False, link=[link]), place))
        assert [(one.reason, one.path) for one in found.problems] == [("modifier_not_understood", f"{place}.modifierExtension[0]")]


@pytest.mark.parametrize("place", ["Consent", *NESTED_IN_CONSENT])
@pytest.mark.parametrize(("decision", "statements"), [("permit", {}), ("deny", {"consent.sms": "denied"})])
def test_consent_only_refuses_wherever_it_stands(place: str, decision: str, statements: dict[str, str]) -> None:
    record = consent(policyRule={"coding": [{"code": "OPTIN"}]}, dateTime="2026-10-01", provision=provision(decision), **CONTAINED)
    found = said(modified(record, place), options=SMS)
    assert {name: one.value for name, one in found.statements.items()} == statements
    assert ("modifier_not_understood", f"{place}.modifierExtension[0]", "consent.sms") in problems(found)


def test_consent_of_r5_only_refuses() -> None:
    record = consent(decision="permit", _decision={"modifierExtension": [NOT]})
    assert problems(said(record, options=SMS)) == {("modifier_not_understood", "Consent._decision.modifierExtension[0]", "consent.sms")}
    assert stated(record | {"decision": "deny"}, options=SMS)["consent.sms"].value == "denied"


@pytest.mark.parametrize("place", ["Consent", "Consent.policyRule", "Consent._status"])
def test_the_end_of_a_record_takes_no_refusal_back(place: str) -> None:
    record = consent(status="inactive", policyRule={}, _status={}, provision=provision("deny"))
    found = said(modified(record, place), options=SMS)
    assert (found.statements, [one.attribute for one in found.problems]) == ({}, ["consent.sms"])
    ended = said(modified(flag(status="inactive", _status={}), place.replace("Consent", "Flag").replace("policyRule", "code")), mapping=DNC)
    assert (ended.statements, [one.attribute for one in ended.problems]) == ({}, ["do_not_contact"])


@pytest.mark.parametrize(("decision", "values"), [("permit", []), ("deny", ["denied"])])
def test_what_begins_later_only_refuses(decision: str, values: list[str]) -> None:
    period = {"start": "2026-12-01"}
    found = said(modified(consent(policyRule={}, provision={"type": decision, "period": period}), "Consent.policyRule"), options=SMS)
    assert ([one.value for one in found.later], found.statements) == (values, {})
    assert [one.attribute for one in found.problems] == ["consent.sms"]


def test_an_exception_that_is_over_changes_nothing_whatever_it_carries() -> None:
    over = {"type": "deny", "period": {"end": "2026-01-01"}, "code": [{"modifierExtension": [NOT]}]}
    assert stated(consent(provision={"type": "permit", "provision": [over]}), options=SMS)["consent.sms"].value == "granted"


def test_consent_about_other_matters_is_none_of_our_concern() -> None:
    other = consent(category=[{"coding": [{"code": "research"}]}], modifierExtension=[NOT])
    assert read(other, options=SMS) == [Filtered("consent_not_configured", "file:1")]


def test_provision_that_is_not_understood_permits_nothing_and_takes_no_other_refusal_with_it() -> None:
    odd = {"type": "permit", "modifierExtension": [NOT]}
    found = said(consent(provision=odd), options=SMS)
    assert (found.statements, [one.attribute for one in found.problems]) == ({}, ["consent.sms"])
    found = said(consent(provision={"type": "permit", "provision": [odd, {"type": "deny"}]}), options=SMS)
    assert found.statements == {"consent.sms": Statement("denied", "Consent.provision.provision[1].type")}
    assert [one.reason for one in found.problems] == ["modifier_not_understood"]


@pytest.mark.parametrize("place", ["Flag", "Flag.code", "Flag.code.coding[0]", "Flag.subject", "Flag.period", "Flag.meta"])
def test_flag_refuses_wherever_it_stands(place: str) -> None:
    found = said(modified(flag(period={"start": "2026-01-01"}), place), mapping=DNC)
    assert {name: one.value for name, one in found.statements.items()} == {"do_not_contact": "yes"}
    assert problems(found) == {("modifier_not_understood", f"{place}.modifierExtension[0]", "do_not_contact")}


def test_flag_of_another_code_is_not_asked() -> None:
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
