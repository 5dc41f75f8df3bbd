"""Preferences of FHIR patients in all their shapes: consent at each number, the preferred phone by place, what was declined."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.mapping.rules import MappingError
from store.preference import Statement
from tests.adapters.fhir.made import CONFIDENTIALITY, mapper, patient, reasons, said, stated

MAY = "http://schemas.example/fhir/may-text"
PER_NUMBER = {
    "consent.sms#*": {
        "from": f"Patient.telecom.where(system = 'phone').extension('{MAY}').valueBoolean",
        "values": {"true": "granted", "false": "denied"},
    }
}


def point(value: str, may: Any = None, **others: Any) -> dict[str, Any]:
    made = {"system": "phone", "value": value, **others}
    return made if may is None else made | {"extension": [{"url": MAY, "valueBoolean": may}]}


def test_consent_is_kept_for_the_number_that_it_stands_at() -> None:
    telecom = [point("217-555-0101", may=True), point("217-555-0102", may=False), point("217-555-0103")]
    found = stated(patient(telecom=telecom), mapping=PER_NUMBER)
    assert found["consent.sms#+12175550101"] == Statement("granted", "Patient.telecom[0].extension[0].valueBoolean")
    assert found["consent.sms#+12175550102"] == Statement("denied", "Patient.telecom[1].extension[0].valueBoolean")
    assert not [name for name in found if name.endswith("0103")]


def test_of_one_number_listed_twice_the_refusal_counts() -> None:
    telecom = [point("217-555-0101", may=True), point("(217) 555-0101", may=False, use="old")]
    assert stated(patient(telecom=telecom), mapping=PER_NUMBER)["consent.sms#+12175550101"].value == "denied"


def test_consent_at_a_number_that_cannot_be_used_is_reported_with_the_number() -> None:
    telecom = [point("ask the daughter", may=True)]
    assert reasons(patient(telecom=telecom), mapping=PER_NUMBER) == [("phone_unusable", "Patient.telecom[0].value")]


def test_an_answer_at_a_number_that_no_table_knows_is_a_problem_and_the_others_count() -> None:
    rule = {"consent.sms#*": PER_NUMBER["consent.sms#*"] | {"values": {"true": "granted"}}}
    found = said(patient(telecom=[point("217-555-0101", may=False), point("217-555-0102", may=True)]), mapping=rule)
    assert [(one.reason, one.attribute) for one in found.problems] == [("code_unmapped", "consent.sms")]
    assert [name for name in found.statements if name.startswith("consent")] == ["consent.sms#+12175550102"]


@pytest.mark.parametrize(
    ("entry", "reasons_given"),
    [
        (point("ask the daughter", may=False), ["phone_unusable", "consent_number_unreadable"]),
        (point("ask the daughter", may=True), ["phone_unusable"]),
        ({"system": "phone", "extension": [{"url": MAY, "valueBoolean": False}]}, ["consent_number_unreadable"]),
        (
            {"value": "217-555-0101", "extension": [{"url": MAY, "valueBoolean": False}]},
            ["consent_number_unreadable", "contact_system_missing"],
        ),
        ({"system": "fax", "value": "x", "extension": [{"url": MAY, "valueBoolean": False}]}, []),
    ],
)
def test_what_refuses_at_a_number_that_cannot_be_read_is_not_lost(entry: dict[str, Any], reasons_given: list[str]) -> None:
    rule = {"consent.sms#*": PER_NUMBER["consent.sms#*"] | {"from": f"Patient.telecom.extension('{MAY}').valueBoolean"}}
    found = said(patient(telecom=[entry, point("217-555-0102", may=True)]), mapping=rule)
    assert sorted(one.reason for one in found.problems) == sorted(reasons_given)
    assert {one.attribute for one in found.problems if one.reason == "consent_number_unreadable"} <= {"consent.sms"}
    assert found.statements["consent.sms#+12175550102"].value == "granted"


def test_a_rule_for_each_number_reads_contact_points_only() -> None:
    with pytest.raises(MappingError, match="is not a contact point"):
        mapper(mapping={"consent.sms#*": {"from": "Patient.active", "values": {"true": "granted"}}})


FIRST = {"preferred_phone": {"by": "first"}}


def test_the_phone_listed_first_is_preferred_where_the_site_says_so() -> None:
    telecom = [{"system": "email", "value": "pat@example.org"}, point("217-555-0101"), point("217-555-0102", rank=1)]
    assert stated(patient(telecom=telecom), mapping=FIRST)["preferred_phone"] == Statement("+12175550101", "Patient.telecom[1]")


def test_an_old_phone_is_not_the_first() -> None:
    telecom = [point("217-555-0101", use="old"), point("217-555-0102")]
    assert stated(patient(telecom=telecom), mapping=FIRST)["preferred_phone"].value == "+12175550102"


@pytest.mark.parametrize("first", [point("ask the daughter"), {"system": "phone"}])
def test_where_the_first_phone_cannot_be_used_the_second_is_not_preferred_for_it(first: dict[str, Any]) -> None:
    assert "preferred_phone" not in stated(patient(telecom=[first, point("217-555-0102")]), mapping=FIRST)


def test_rank_is_read_where_the_site_says_so() -> None:
    found = stated(patient(telecom=[point("217-555-0102", rank=1)]), mapping={"preferred_phone": {"by": "rank"}})
    assert found["preferred_phone"].value == "+12175550102"


@pytest.mark.parametrize("code", ["declined", "unknown", "UNK"])
def test_a_language_that_was_declined_is_no_statement_and_no_problem(code: str) -> None:
    spoken = {"language": {"coding": [{"code": code}]}, "preferred": True}
    item = said(patient(communication=[spoken]))
    assert "language" not in item.statements
    assert item.problems == ()


def test_a_language_of_the_sites_own_that_was_declined_is_no_problem_either() -> None:
    rule = {"language": {"from": "Patient.extension('http://x.example/language').valueCode"}}
    item = said(patient(extension=[{"url": "http://x.example/language", "valueCode": "declined"}]), mapping=rule)
    assert "language" not in item.statements
    assert item.problems == ()


def test_a_restricted_record_takes_nothing_back() -> None:
    rule = {"consent.sms": {"from": "Patient.extension('http://x.example/sms').valueCode", "on_absent": "clear"}}
    assert stated(patient(), mapping=rule)["consent.sms"].value is None
    withheld = {"versionId": "3", "security": [{"system": CONFIDENTIALITY, "code": "R"}]}
    assert "consent.sms" not in stated(patient(meta=withheld), mapping=rule)


def test_topics_of_several_extensions_come_to_one_consent_as_declared() -> None:
    paths = [f"Patient.extension('http://x.example/{topic}').valueBoolean" for topic in ("billing", "recalls")]
    rule = {"consent.email": {"from": paths, "values": {"true": "granted", "false": "denied"}, "aggregate": "all_denied"}}
    answers = [{"url": "http://x.example/billing", "valueBoolean": False}, {"url": "http://x.example/recalls", "valueBoolean": False}]
    assert stated(patient(extension=answers), mapping=rule)["consent.email"].value == "denied"
    assert "consent.email" not in stated(patient(extension=answers[:1]), mapping=rule)
