from __future__ import annotations

import re
from typing import Any

import pytest

from adapters.fhir.fhirpath import compile_expression, compile_path

PATIENT = {
    "resourceType": "Patient",
    "active": True,
    "deceasedBoolean": False,
    "birthDate": "1970-01-01",
    "_birthDate": {"extension": [{"url": "https://e.example/born", "valueCode": "am"}]},
    "multipleBirthInteger": 2,
    "telecom": [
        {"system": "phone", "value": "1", "use": "home", "rank": 2},
        {"system": "phone", "_value": {"extension": [{"url": "https://e.example/absent", "valueCode": "masked"}]}},
        {"system": "email", "value": "a@example.org"},
    ],
    "name": [{"given": ["Ann", None, "Bee"], "_given": [None, {"id": "g"}, None]}],
    "extension": [
        {"url": "https://e.example/ok", "valueBoolean": True},
        {
            "url": "https://e.example/how",
            "extension": [
                {"url": "topic", "valueCodeableConcept": {"coding": [{"system": "https://x.example/1", "code": "appt"}]}},
                {"url": "method", "valueCode": "sms"},
            ],
        },
    ],
}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("Patient.active", [("true", "Patient.active")]),
        ("active", [("true", "Patient.active")]),
        ("Consent.status", []),
        ("Resource.active", [("true", "Patient.active")]),
        ("Patient.deceased", [("false", "Patient.deceasedBoolean")]),
        ("Patient.deceasedBoolean", [("false", "Patient.deceasedBoolean")]),
        ("Patient.deceased.ofType(boolean)", [("false", "Patient.deceasedBoolean")]),
        ("Patient.deceased.ofType(dateTime)", []),
        ("(Patient.deceased as boolean)", [("false", "Patient.deceasedBoolean")]),
        ("Patient.multipleBirth", [("2", "Patient.multipleBirthInteger")]),
        ("Patient.multipleBirth.ofType(FHIR.integer)", [("2", "Patient.multipleBirthInteger")]),
        ("Patient.telecom.value", [("1", "Patient.telecom[0].value"), ("a@example.org", "Patient.telecom[2].value")]),
        ("Patient.telecom[2].value", [("a@example.org", "Patient.telecom[2].value")]),
        ("Patient.telecom[9].value", []),
        ("Patient.telecom.first().use", [("home", "Patient.telecom[0].use")]),
        ("Patient.telecom.last().value", [("a@example.org", "Patient.telecom[2].value")]),
        ("Patient.telecom.where(system = 'email').value", [("a@example.org", "Patient.telecom[2].value")]),
        ("Patient.telecom.where(system = 'phone' and use = 'home').value", [("1", "Patient.telecom[0].value")]),
        ("Patient.telecom.where(use != 'work').value", [("1", "Patient.telecom[0].value")]),
        # A primitive that has only extensions exists (FHIR R4 2.1.9.1); it has no text.
        (
            "Patient.telecom.where(use.empty() and value.exists()).system",
            [("phone", "Patient.telecom[1].system"), ("email", "Patient.telecom[2].system")],
        ),
        ("Patient.telecom.where(rank = 2).value", [("1", "Patient.telecom[0].value")]),
        ("Patient.telecom.where(system in ('email' | 'sms')).value", [("a@example.org", "Patient.telecom[2].value")]),
        ("Patient.telecom.where(system ~ 'EMAIL').value", [("a@example.org", "Patient.telecom[2].value")]),
        ("Patient.telecom.where(%resource.active and system = 'email').value", [("a@example.org", "Patient.telecom[2].value")]),
        ("Patient.telecom.value.where($this = '1')", [("1", "Patient.telecom[0].value")]),
        ("Patient.telecom.exists(system = 'fax')", [("false", "Patient.telecom.exists(system = 'fax')")]),
        (
            "Patient.telecom.value.extension('https://e.example/absent').value",
            [("masked", "Patient.telecom[1].value.extension[0].valueCode")],
        ),
        ("Patient.birthDate.extension('https://e.example/born').value", [("am", "Patient.birthDate.extension[0].valueCode")]),
        ("Patient.name.given", [("Ann", "Patient.name[0].given[0]"), ("Bee", "Patient.name[0].given[2]")]),
        ("Patient.extension('https://e.example/ok').value", [("true", "Patient.extension[0].valueBoolean")]),
        (
            "Patient.extension('https://e.example/how').where(extension('topic').value.coding.code = 'appt').extension('method').value",
            [("sms", "Patient.extension[1].extension[1].valueCode")],
        ),
        ("Patient.extension.where(url.endsWith('/ok')).valueBoolean", [("true", "Patient.extension[0].valueBoolean")]),
        ("Patient.extension.where(url.startsWith('http://')).valueBoolean", []),
        ("Patient.active | Patient.deceased", [("true", "Patient.active"), ("false", "Patient.deceasedBoolean")]),
        ("Patient.active | Patient.active", [("true", "Patient.active")]),
        ("'it\\'s \\u0041'", [("it's A", "'it\\'s \\u0041'")]),
        ("{}", []),
    ],
)
def test_expression_finds_texts_and_concrete_paths(expression: str, found: list[tuple[str, str]]) -> None:
    assert [one[:2] for one in compile_path(expression)(PATIENT)] == found


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("active = true", True),
        ("active = 'true'", False),
        ("multipleBirth = 2", True),
        ("multipleBirth = true", False),
        ("nothing = 'x'", None),
        ("nothing != 'x'", None),
        ("nothing and true", None),
        ("nothing and false", False),
        ("nothing or true", True),
        ("nothing or false", None),
        ("nothing.not()", None),
        ("true xor false", True),
        ("true xor {}", None),
        ("true or true and false", True),
        ("(true or true) and false", False),
        ("telecom and true", None),
        ("'A b' ~ 'a  B'", True),
        ("'a' !~ 'b'", True),
        ("{} ~ {}", True),
        ("telecom.value in ('1' | 'a@example.org')", None),
        ("active.startsWith('t')", None),
    ],
)
def test_unknown_stays_unknown_in_logic(expression: str, value: bool | None) -> None:
    found = compile_expression(expression).evaluate(PATIENT)
    assert [node.value for node in found] == ([] if value is None else [value])


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("Patient.telecom.where(rank < 2)", "'<'"),
        ("today()", "today()"),
        ("Patient.managingOrganization.resolve()", "resolve()"),
        ("Patient.birthDate > @2020", "'>'"),
        ("%ucum", "%ucum"),
        ("Patient.telecom[-1]", "[-]"),
        ("Patient.telecom[1.5]", "[1.5]"),
        ("Patient.extension(url)", "extension()"),
        ("Patient.", "ends where"),
        ("Patient.name given", "'given'"),
        ("'never closed", "cannot read"),
        ("Patient.telecom.where(", "ends where"),
        ("Patient.telecom.first(1)", "'1'"),
        ("Patient.deceased.ofType('boolean')", "boolean"),
        ("", "empty"),
        ("Patient.$this", "$this"),
    ],
)
def test_what_is_not_supported_is_named(expression: str, named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        compile_path(expression)


def test_leading_types_of_a_union_are_known() -> None:
    assert compile_expression("Patient.active | Consent.where(status = 'active').status").types == {"Patient", "Consent"}


def test_structure_has_no_text_so_no_code_matches_it() -> None:
    assert [one.text for one in compile_path("Patient.telecom[0]")(PATIENT)] == [""]


@pytest.mark.parametrize(
    "resource", [{}, {"resourceType": "Patient", "telecom": "x"}, {"resourceType": "Patient", "telecom": [None, 1, []]}]
)
def test_misshapen_resource_finds_nothing(resource: dict[str, object]) -> None:
    assert compile_path("Patient.telecom.where(system = 'phone').value")(resource) == []


def test_quoted_name_is_an_element() -> None:
    assert compile_path("`active`")(PATIENT)[0].text == "true"


ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def hidden(url: str, why: str = "masked", **more: Any) -> dict[str, Any]:
    return {"url": url, **more, "extension": [{"url": ABSENT, "valueCode": why}]}


WITHHELD = {
    "resourceType": "Patient",
    "_active": {"extension": [{"url": ABSENT, "valueCode": "masked"}]},
    "_deceasedBoolean": {"extension": [{"url": ABSENT, "valueCode": "error"}]},
    "extension": [
        hidden("whole"),
        hidden("unknown", "unknown"),
        {"url": "coded", "valueCodeableConcept": {"extension": [{"url": ABSENT, "valueCode": "masked"}]}},
        {"url": "part", "valueCodeableConcept": {"coding": [{"_code": {"extension": [{"url": ABSENT, "valueCode": "masked"}]}}]}},
    ],
    "telecom": [{"system": "phone", "value": "1", "_use": {"extension": [{"url": ABSENT, "valueCode": "masked"}]}}],
}


@pytest.mark.parametrize(
    "expression",
    [
        "Patient.active",
        "Patient.active.not()",
        "Patient.active.exists()",
        "Patient.active.empty()",
        "Patient.active = true",
        "Patient.active and true",
        "Patient.deceased",
        "Patient.deceased.ofType(boolean)",
        "Patient.extension('whole').valueBoolean",
        "Patient.extension('whole').value",
        "Patient.extension('whole').value.ofType(boolean)",
        "Patient.extension('whole').value.exists()",
        "Patient.extension('whole').valueCodeableConcept.coding.code",
        "Patient.extension('whole').extension('inner').valueCode",
        "Patient.extension.where(url = 'whole').valueCode = 'deny'",
        "Patient.extension('coded').valueCodeableConcept.coding.where(system = 'x').code | Patient.extension('coded').value.coding.code",
        "Patient.extension('part').valueCodeableConcept.coding.code",
        "Patient.telecom.use.startsWith('ho')",
        "Patient.extension('whole').repeat(extension).valueCode | Patient.extension('whole').valueCode",
    ],
)
def test_what_was_withheld_is_found_as_something_that_cannot_be_read(expression: str) -> None:
    assert {one.reason for one in compile_path(expression)(WITHHELD) if one.flaw} == {"value_withheld"}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("Patient.extension('unknown').valueCode", []),
        ("Patient.extension('none').valueCode", []),
        ("Patient.gender", []),
        ("Patient.active and false", ["false"]),
        ("Patient.active or true", ["true"]),
        ("Patient.telecom.where(use = 'home').value", []),
        ("Patient.telecom.where(use.exists()).value", []),
        ("Patient.telecom.value", ["1"]),
        ("Patient.extension('whole').exists()", ["true"]),
    ],
)
def test_what_was_withheld_decides_nothing_else(expression: str, found: list[str]) -> None:
    assert [(one.text, one.flaw) for one in compile_path(expression)(WITHHELD)] == [(text, "") for text in found]
