"""Rules, Bundles, bytes and explanations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.base import Filtered, Unmappable
from adapters.mapping.rules import MappingError
from store.preference import PatientStatements, Statement
from tests.adapters.fhir.made import mapper, patient, payload, read, reasons, said, stated

URL = "https://e.example/"
PHONES = [
    {"system": "phone", "value": "217-555-0101", "use": "home"},
    {"system": "phone", "value": "217-555-0102", "use": "mobile", "rank": 1},
]


def extension(name: str, **value: Any) -> dict[str, Any]:
    return {"url": URL + name, **value}


def rule(name: str, **others: Any) -> dict[str, Any]:
    return {"from": f"Patient.extension('{URL}{name}').value", **others}


TEXT_OK = {"consent.sms": rule("text", values={"true": "granted", "false": "denied"})}


# Rules


def test_extension_states_consent_by_the_sites_table() -> None:
    found = stated(patient(extension=[extension("text", valueBoolean=False)]), mapping=TEXT_OK)
    assert found["consent.sms"] == Statement("denied", "Patient.extension[0].valueBoolean")


def test_absent_extension_states_nothing() -> None:
    assert "consent.sms" not in stated(patient(), mapping=TEXT_OK)


def test_unmapped_code_is_a_problem_of_its_attribute_and_is_not_quoted() -> None:
    found = said(patient(active=True, extension=[extension("text", valueCode="perhaps")]), mapping=TEXT_OK)
    (problem,) = found.problems
    assert (problem.reason, problem.path, problem.attribute) == ("code_unmapped", "Patient.extension[0].valueCode", "consent.sms")
    assert "perhaps" not in problem.detail
    assert set(found.statements) == {"active"}


def test_rule_wins_over_the_standard_element() -> None:
    mapping = {"active": rule("live", values={"Y": "true", "N": "false"})}
    found = stated(patient(active=True, extension=[extension("live", valueCode="N")]), mapping=mapping)
    assert found["active"].value is False


@pytest.mark.parametrize(("code", "number"), [("home", "+12175550101"), ("cell", "+12175550102"), ("217-555-0101", "+12175550101")])
def test_preferred_phone_of_a_rule_is_a_kind_or_a_number(code: str, number: str) -> None:
    resource = patient(telecom=PHONES, extension=[extension("call", valueString=code)])
    assert stated(resource, mapping={"preferred_phone": rule("call")})["preferred_phone"].value == number


def test_preferred_phone_that_names_none_is_a_problem_and_the_rank_counts() -> None:
    resource = patient(telecom=PHONES, extension=[extension("call", valueString="work")])
    assert reasons(resource, mapping={"preferred_phone": rule("call")}) == [
        ("preferred_phone_unusable", "Patient.extension[0].valueString")
    ]
    assert stated(resource, mapping={"preferred_phone": rule("call")})["preferred_phone"].value == "+12175550102"


def test_language_of_a_rule_becomes_a_tag() -> None:
    found = stated(patient(extension=[extension("lang", valueCode="spa")]), mapping={"language": rule("lang")})
    assert found["language"].value == "es"


def test_a_language_that_a_rule_reads_is_no_problem_of_the_standard_element() -> None:
    own = {"language": {"coding": [{"system": "https://own.example/languages", "code": "17"}]}}
    mapping = {"language": {"from": "Patient.communication.language.coding.code", "values": {"17": "ksw"}}}
    found = said(patient(communication=[own]), mapping=mapping)
    assert (found.statements["language"].value, found.problems) == ("ksw", ())
    other = {"language": {"coding": [{"system": "https://own.example/languages", "code": "18"}]}}
    assert ("language_unusable", "Patient.communication[0].language") in reasons(patient(communication=[other]), mapping=mapping)


def test_an_unreadable_death_is_a_problem_beside_a_rule_that_reads_another_place() -> None:
    mapping = {"deceased": rule("died") | {"values": {"N": "no"}}}
    assert reasons(patient(extension=[extension("died", valueCode="N")], deceasedBoolean="perhaps"), mapping=mapping) == [
        ("deceased_unreadable", "Patient.deceasedBoolean")
    ]


def test_record_restricted_by_a_rule_takes_no_phones_back() -> None:
    mapping = {"restricted": {"from": "Patient.meta.security.code", "values": {"CELEB": "true"}}}
    found = said(patient(meta={"security": [{"system": "https://own.example", "code": "CELEB"}]}, telecom=[]), mapping=mapping)
    assert found.restricted
    assert "phones" not in found.statements


@pytest.mark.parametrize(
    ("attribute", "written", "named"),
    [
        ("do_not_contact", {"from": "Patient.now()"}, "now()"),
        ("do_not_contact", {"from": "Observation.value"}, "Observation"),
        ("do_not_contact", {"values": {"x": "yes"}}, "from"),
        ("consent.sms", rule("text", values={"x": "maybe"}), "maybe"),
        ("phones", {"from": "Patient.telecom.value"}, "Patient.telecom"),
        ("consent.sms", rule("text", on_absent="granted"), "granted"),
    ],
)
def test_wrong_rule_is_refused_with_its_attribute(attribute: str, written: dict[str, Any], named: str) -> None:
    with pytest.raises(MappingError, match=named.replace("(", r"\(").replace(")", r"\)")) as error:
        mapper(mapping={attribute: written})
    assert error.value.attribute == attribute


# Bytes


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"resourceType": "Patient", "id": "\xff"}', "not_json"),
        (b'{"resourceType": "Patient", "id": "\\ud800"}', "not_json"),
        (b'{"resourceType": "Patient", "id": "a\\u0000"}', "nul_character"),
        (b"[]", "not_fhir"),
        (b"null", "not_fhir"),
        (b'{"id": "p1"}', "not_fhir"),
        (b'{"resourceType": 1}', "not_fhir"),
        (b"MSH|^~\\&|", "not_json"),
    ],
)
def test_what_is_no_resource_is_rejected_with_its_bytes(body: bytes, reason: str) -> None:
    (item,) = read(body)
    assert isinstance(item, Unmappable)
    assert (item.reason, item.payload) == (reason, body)
    assert not mapper().explain(payload(body)).stated


def test_byte_order_mark_is_no_obstacle() -> None:
    assert isinstance(read(b"\xef\xbb\xbf" + json.dumps(patient()).encode())[0], PatientStatements)


# Bundles


def bundle(*entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": list(entries)}


def test_each_entry_of_a_bundle_is_read_by_itself() -> None:
    first, second, third = read(
        bundle({"resource": patient()}, {"resource": {"resourceType": "Patient"}}, {"resource": {"resourceType": "Observation"}})
    )
    assert isinstance(first, PatientStatements)
    assert isinstance(second, Unmappable)
    assert isinstance(third, Filtered)
    assert [first.locator, second.locator, third.locator] == [f"file:1#entry[{index}]" for index in range(3)]


def test_rejected_entry_keeps_its_own_bytes_for_replay() -> None:
    (item,) = read(bundle({"resource": {"resourceType": "Patient", "active": True}}))
    assert isinstance(item, Unmappable)
    assert json.loads(item.payload) == {"resourceType": "Patient", "active": True}


def test_entries_about_the_search_or_without_a_resource_are_filtered() -> None:
    outcome = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
    found = read(bundle(outcome, {"request": {"method": "DELETE", "url": "Patient/1"}}, None, {"resource": {"id": "x"}}))
    assert [getattr(item, "reason", None) for item in found] == [
        "search_outcome",
        "entry_without_resource",
        "entry_without_resource",
        "not_fhir",
    ]


def test_bundle_that_is_empty_says_nothing_and_a_broken_one_is_rejected() -> None:
    assert read({"resourceType": "Bundle"}) == []
    assert [getattr(item, "reason", None) for item in read({"resourceType": "Bundle", "entry": "x"})] == ["bundle_unreadable"]


# Explain


def test_explanation_shows_what_is_said_unused_and_unmapped() -> None:
    mapping = {"consent.sms": rule("text", values={"true": "granted"}, on_unknown="no_statement")}
    resource = patient(active=True, gender="female", extension=[extension("text", valueBoolean=False), extension("other", valueCode="x")])
    resource["telecom"] = [{"system": "phone", "value": "217-555-0123", "extension": [extension("point", valueCode="y")]}]
    found = mapper(mapping=mapping).explain(payload(resource))
    assert ("active", True, "Patient.active") in found.stated
    assert [path for path, _ in found.unused] == ["Patient.gender", "Patient.extension[1]", "Patient.telecom[0].extension[0]"]
    assert list(found.unmapped) == [("Patient.extension[0].valueBoolean", "false")]


def test_explanation_of_a_bundle_is_that_of_its_entries() -> None:
    found = mapper().explain(
        payload(bundle({"resource": patient(active=True, birthDate="1970-01-01")}, {"resource": patient(gender="male")}, {}, None))
    )
    assert ("active", True, "Patient.active") in found.stated
    assert [path for path, _ in found.unused] == ["Patient.gender"]


def test_long_values_are_shortened_in_an_explanation() -> None:
    found = mapper().explain(payload(patient(note="x" * 500)))
    assert len(found.unused[0][1]) == 120
