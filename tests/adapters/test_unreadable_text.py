"""Unreadable text in each attribute and each protocol is a problem of that attribute and never a statement.

Which problems mark a patient as unreadable is tested in ``tests/store/domain/test_unreadable.py``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.mapping.unknown_codes import MARK
from store.domain.attributes import ATTRIBUTES
from store.preference import PatientStatements, base
from tests.adapters.fhir import made as fhir
from tests.adapters.hl7v2.messages import adt, stated
from tests.adapters.rest import made as rest

TOPIC = "topic.recall.sms"
VALUES: dict[str, dict[str, Any]] = {
    "do_not_contact": {"values": {"Y": "yes", "N": "no"}},
    "preferred_method": {"values": {"Y": "sms", "N": "none"}},
    "preferred_phone": {},
    "language": {},
    "deceased": {"values": {"Y": "true", "N": "false"}},
    "restricted": {"values": {"Y": "true", "N": "false"}},
    "active": {"values": {"Y": "true", "N": "false"}},
    **{name: {"values": {"Y": "granted", "N": "denied"}} for name in ("consent.sms", "consent.voice", "consent.email", TOPIC)},
}
"""Attributes read by a rule, with their tables. The other attributes are read from standard elements."""
UNKNOWN = ["reject", "no_statement", "clear"]


def only_a_problem(found: PatientStatements, attribute: str) -> None:
    assert not [name for name in found.statements if base(name) == attribute]
    assert attribute in {base(one.attribute) for one in found.problems}
    kept = [code for name, codes in found.codes.items() if base(name) == attribute for code, _ in codes.found]
    assert all(code is None or code.startswith(MARK) for code in kept), "only a digest of an unknown code is stored"


def test_every_attribute_is_covered() -> None:
    assert {*VALUES, "phones", "email", "display_name"} == {*ATTRIBUTES, TOPIC}


@pytest.mark.parametrize("attribute", VALUES)
@pytest.mark.parametrize("lost", ["\udc81", "\\XFF\\", "\x00"])
def test_rules_for_hl7(attribute: str, lost: str) -> None:
    body = adt("A08").decode() + f"ZCP|1|Y{lost}|"
    mapping = {attribute: {"from": "ZCP-2", **VALUES[attribute]}}
    only_a_problem(stated(body.encode("utf-8", "surrogateescape"), mapping=mapping), attribute)


@pytest.mark.parametrize(
    ("attribute", "field", "text"),
    [
        ("phones", "f13", "^PRN^CP^^1^217^555{}0123"),
        ("email", "f13", "^NET^Internet^a{}@example.org"),
        ("language", "f15", "e{}n"),
        ("deceased", "f30", "{}"),
        ("deceased", "f29", "20{}260101"),
        ("display_name", "f5", "Exam{}ple^Pat"),
        ("birth_date", "f7", "1980{}0203"),
    ],
)
@pytest.mark.parametrize("lost", ["\udc81", "\\XFF\\"])
def test_fields_of_pid(attribute: str, field: str, text: str, lost: str) -> None:
    body = adt("A08", **{field: "FIELD"}).decode().replace("FIELD", text.format(lost))
    only_a_problem(stated(body.encode("utf-8", "surrogateescape")), attribute)


@pytest.mark.parametrize("attribute", VALUES)
@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("lost", ["\\u0000", "\\ud800"])
def test_rules_for_fhir(attribute: str, unknown: str, lost: str) -> None:
    rule = {"from": "Patient.extension('https://e.example/x').valueString", "on_unknown": unknown, **VALUES[attribute]}
    resource = fhir.patient(extension=[{"url": "https://e.example/x", "valueString": "Y~"}])
    (found,) = fhir.mapper(mapping={attribute: rule}).read(fhir.payload(json.dumps(resource).replace("~", lost).encode()))
    assert isinstance(found, PatientStatements)
    only_a_problem(found, attribute)


@pytest.mark.parametrize(
    ("attribute", "elements"),
    [
        ("phones", {"telecom": [{"system": "phone", "value": "217~5550123"}]}),
        ("email", {"telecom": [{"system": "email", "value": "a~@example.org"}]}),
        ("language", {"communication": [{"language": {"coding": [{"code": "e~n"}]}}]}),
        ("deceased", {"deceasedBoolean": "tru~e"}),
        ("active", {"active": "tru~e"}),
        ("restricted", {"meta": {"security": [{"system": fhir.CONFIDENTIALITY, "code": "R~"}]}}),
        ("display_name", {"name": [{"family": "Exam~ple"}]}),
    ],
)
def test_elements_of_a_patient(attribute: str, elements: dict[str, Any]) -> None:
    body = json.dumps(fhir.patient(**elements)).replace("~", "\\u0000").encode()
    (found,) = fhir.mapper().read(fhir.payload(body))
    assert isinstance(found, PatientStatements)
    only_a_problem(found, attribute)


@pytest.mark.parametrize("attribute", VALUES)
@pytest.mark.parametrize("unknown", UNKNOWN)
def test_rules_for_json_records(attribute: str, unknown: str) -> None:
    rule = {"from": "x", "on_unknown": unknown, **VALUES[attribute]}
    (found,) = rest.mapper({attribute: rule}).read(rest.payload(json.dumps({"id": 7, "x": "Y~"}).replace("~", "\\u0000").encode()))
    assert isinstance(found, PatientStatements)
    only_a_problem(found, attribute)


@pytest.mark.parametrize(
    ("attribute", "elements"),
    [
        ("phones", {"cell": "217~5550123"}),
        ("email", {"email": "a~@example.org"}),
        ("display_name", {"first": "Pa~t"}),
    ],
)
def test_members_of_a_json_record(attribute: str, elements: dict[str, Any]) -> None:
    body = json.dumps({"id": 7, **elements}).replace("~", "\\u0000").encode()
    (found,) = rest.mapper().read(rest.payload(body))
    assert isinstance(found, PatientStatements)
    only_a_problem(found, attribute)
