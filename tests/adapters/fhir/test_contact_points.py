"""Contact points in extensions of the Patient (option ``telecom``): where paths, periods, consents and modifiers meet them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.mapping.rules import MappingError
from store.preference import Statement
from tests.adapters.fhir.made import mapper, patient, payload, reasons, said, stated

PHONE, MAY = "https://emr.example/phone", "https://emr.example/may-text"
READS: dict[str, Any] = {"options": {"telecom": [PHONE]}}
EACH = {
    "consent.sms#*": {
        "from": f"Patient.extension('{PHONE}').valueContactPoint.extension('{MAY}').valueBoolean",
        "values": {"true": "granted", "false": "denied"},
    }
}
INSIDE = {
    "consent.sms#*": {
        "from": f"Patient.extension('{PHONE}').extension('may-text').valueBoolean",
        "values": {"true": "granted", "false": "denied"},
    }
}


def held(value: str = "217-555-0123", **others: Any) -> dict[str, Any]:
    return {"url": PHONE, "valueContactPoint": {"system": "phone", "value": value, **others}}


def grouped(*points: dict[str, Any], may: bool) -> dict[str, Any]:
    parts = [{"url": "number", "valueContactPoint": one} for one in points]
    return {"url": PHONE, "extension": [*parts, {"url": "may-text", "valueBoolean": may}]}


def allowed(*, may: bool) -> dict[str, Any]:
    return {"extension": [{"url": MAY, "valueBoolean": may}]}


def test_statements_name_the_place_that_was_read() -> None:
    found = stated(patient(extension=[held(), held("217-555-0124", rank=1)]), **READS)
    assert found["phones"].path == "Patient.extension"
    assert found["preferred_phone"] == Statement("+12175550124", "Patient.extension[1].valueContactPoint.rank")
    both = stated(patient(telecom=[{"system": "email", "value": "a@example.org"}], extension=[held()]), **READS)
    assert both["phones"].path == "Patient.telecom | Patient.extension"


def test_the_first_phone_may_be_in_an_extension() -> None:
    found = stated(patient(extension=[held()]), mapping={"preferred_phone": {"by": "first"}}, **READS)
    assert found["preferred_phone"] == Statement("+12175550123", "Patient.extension[0].valueContactPoint")


def test_a_phone_of_an_extension_begins_with_its_period() -> None:
    found = said(patient(extension=[held(period={"start": "2027-01-01"})], telecom=[]), **READS)
    assert [(one.attribute, one.due.date().isoformat(), one.path) for one in found.later] == [("phones", "2027-01-01", "Patient.extension")]


@pytest.mark.parametrize(("may", "value"), [(True, "granted"), (False, "denied")])
def test_a_consent_at_the_contact_point_is_that_of_its_number(*, may: bool, value: str) -> None:
    record = patient(extension=[{"url": "https://emr.example/other"}, held(**allowed(may=may)), held("217-555-0124")])
    found = stated(record, mapping=EACH, **READS)
    assert {name: one.value for name, one in found.items() if name.startswith("consent")} == {"consent.sms#+12175550123": value}


def test_a_consent_beside_the_contact_point_is_that_of_its_number() -> None:
    record = patient(extension=[grouped(held()["valueContactPoint"], may=False)])
    assert stated(record, mapping=INSIDE, **READS)["consent.sms#+12175550123"].value == "denied"


@pytest.mark.parametrize("points", [(), ({"system": "phone", "value": "?"},), ({"system": "phone", "value": "2175550123"},) * 2])
def test_a_refusal_beside_no_usable_number_makes_the_consent_unreadable(points: tuple[dict[str, Any], ...]) -> None:
    found = said(patient(extension=[grouped(*points, may=False)]), mapping=INSIDE, **READS)
    assert ("consent_number_unreadable", "consent.sms") in [(one.reason, one.attribute) for one in found.problems]
    assert not [name for name in found.statements if name.startswith("consent")]


def test_a_consent_of_each_number_reads_only_extensions_that_the_option_names() -> None:
    with pytest.raises(MappingError, match="an extension that the option 'telecom' names"):
        mapper(mapping=EACH)


@pytest.mark.parametrize(
    ("elements", "path"), [({"extension": {"url": PHONE}}, "Patient.extension"), ({"telecom": "?"}, "Patient.telecom")]
)
def test_a_list_that_cannot_be_read_is_a_problem_and_clears_nothing(elements: dict[str, Any], path: str) -> None:
    assert ("telecom_unreadable", path) in reasons(patient(**elements), **READS)
    assert not {"phones", "email"} & stated(patient(**elements), **READS).keys()


def test_phones_of_an_extension_count_beside_a_telecom_that_cannot_be_read() -> None:
    found = stated(patient(telecom="?", extension=[held()]), **READS)
    assert [one.number for one in found["phones"].value] == ["+12175550123"]
    assert "email" not in found


def test_a_modifier_in_the_extension_withholds_the_phones() -> None:
    entry = held() | {"modifierExtension": [{"url": "https://emr.example/not", "valueBoolean": True}]}
    found = said(patient(extension=[entry]), **READS)
    assert "phones" not in found.statements
    assert {(one.reason, one.attribute) for one in found.problems} >= {("modifier_not_understood", "phones")}


def test_an_illegible_phone_in_the_extension_is_a_problem_of_the_phones() -> None:
    entry = held("~")
    found = said(json.dumps(patient(extension=[entry])).encode().replace(b"~", b"\xff"), **READS)
    assert {one.attribute for one in found.problems} == {"phones"}


def test_an_explanation_counts_the_extension_as_read_and_shows_what_is_inside() -> None:
    reader = mapper(**READS)
    found = reader.explain(payload(patient(extension=[held(**allowed(may=True))])))
    assert [path for path, _ in found.unused] == ["Patient.extension[0].valueContactPoint.extension[0]"]
    assert [(one.path, one.code) for one in found.unknown] == [
        (f"Patient.extension('{PHONE}').valueContactPoint.extension('{MAY}').valueBoolean", "true")
    ]


def test_the_option_is_part_of_the_mapping() -> None:
    assert mapper().mapping != mapper(**READS).mapping
