"""Who a FHIR resource is about (product rule 5.9)."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import Unmappable
from adapters.mapping.identifiers import folded
from store.preference import Identifier, PatientStatements
from tests.adapters.fhir.made import Resource, identifier, mapper, patient, payload, said

OWN = Identifier("GENHOSP", "MR", "M1")
RECORD = Identifier("clinic", "RI", "p1")
DNC = {"do_not_contact": {"from": "Patient.extension('https://x.example/dnc').valueCode", "values": {"Y": "yes", "N": "no"}}}


def named(*entries: Resource, **elements: Any) -> Resource:
    return patient(**({"id": "p1", "identifier": list(entries)} | elements))


def who(*entries: Resource, **changes: Any) -> tuple[Identifier, ...]:
    return said(named(*entries), **changes).identifiers


def refused(resource: Resource, **changes: Any) -> Unmappable:
    (item,) = mapper(**changes).read(payload(resource))
    assert isinstance(item, Unmappable)
    return item


@pytest.mark.parametrize(
    ("entry", "types"),
    [
        (identifier(), "MR"),
        (identifier(kind="mr"), "MR"),
        (identifier(system="HTTPS://genhosp.example/MRN"), "MR"),
        (identifier(system="genhosp"), "MR"),
        (identifier(kind="MR"), ("MRN", "MR")),
        (identifier(system=None), "MR"),
    ],
)
def test_case_does_not_matter_and_several_types_may_be_own(entry: Resource, types: str | tuple[str, ...]) -> None:
    authorities = {"https://genhosp.example/mrn": "GENHOSP", "http://genhosp.example/mrn": "GENHOSP", **mapper().settings.authorities}
    assert who(entry, identifier_type=types, authorities=authorities)[0] == OWN


def test_the_own_identifier_comes_first_then_the_record_then_what_is_for_look_up() -> None:
    national = identifier("9434765919", "https://nat.example/id", "NI")
    assert who(national, identifier()) == (OWN, RECORD, Identifier("https://nat.example/id", "NI", "9434765919"))


@pytest.mark.parametrize("value", ["0000000000", "UNKNOWN", "n/a", "null", "ask later"])
def test_a_placeholder_identifies_nobody(value: str) -> None:
    assert who(identifier(value, "https://nat.example/id", "NI"), placeholders=folded(["AskLater"])) == (RECORD,)
    assert who(identifier(value), placeholders=folded(["AskLater"])) == (RECORD,)
    assert refused(named(identifier(value), id=None), placeholders=folded(["AskLater"])).reason == "patient_id_missing"


def test_the_reason_names_issuers_and_types_that_came() -> None:
    detail = refused(named(identifier("9434765919", "https://nat.example/id", "NI"), id=None)).detail
    assert "https://nat.example/id/NI" in detail
    assert "9434765919" not in detail


def test_the_reason_says_what_has_ended() -> None:
    ended = identifier("M1", period={"end": "2020-01-01"}), identifier("M2", use="old")
    assert refused(named(*ended, id=None)).detail.endswith("received: GENHOSP/MR (ended)")


def test_without_patient_id_the_record_is_the_patient_and_the_rest_is_for_look_up() -> None:
    assert who(identifier(), authority="", identifier_type="")[0] == RECORD


def several(code: str) -> list[Any]:
    extension = [{"url": "https://x.example/dnc", "valueCode": code}]
    ended = identifier("M0", period={"end": "2020-01-01"})
    return mapper(mapping=DNC).read(payload(named(ended, identifier("M1"), identifier("M2"), extension=extension, active=True)))


def test_of_several_own_identifiers_the_first_that_has_not_ended_counts_and_what_refuses_for_all() -> None:
    first, other = several("Y")
    assert first.identifiers == (OWN, RECORD)
    assert [one.reason for one in first.problems] == ["several_own_identifiers"]
    assert (other.identifiers, set(other.statements), other.problems) == ((OWN._replace(value="M2"),), {"do_not_contact"}, ())


def test_what_permits_counts_for_the_first_only() -> None:
    assert [one.identifiers[0].value for one in several("N")] == ["M1"]


def test_what_cannot_be_read_and_may_refuse_counts_for_all() -> None:
    _, other = several("DECLINED")
    assert other.identifiers == (OWN._replace(value="M2"),)
    assert [one.attribute for one in other.problems] == ["do_not_contact"]


def test_a_deceased_patient_with_two_numbers_is_deceased_by_both() -> None:
    items = mapper().read(payload(named(identifier("M1"), identifier("M2"), deceasedBoolean=True, restricted=True)))
    assert [set(one.statements) for one in items if isinstance(one, PatientStatements)][1] == {"deceased"}


def consent(subject: dict[str, Any], contained: list[Resource] | None = None) -> list[Any]:
    resource = {"resourceType": "Consent", "id": "c1", "status": "active", "patient": subject, "contained": contained or []}
    resource["provision"] = {"type": "deny"}
    options = {"consent": {"attribute": "consent.sms", "category": "*"}}
    return mapper(options=options, linking=frozenset({"EMPI"})).read(payload(resource))


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (identifier(), OWN),
        ({"system": identifier()["system"], "value": "M1"}, Identifier("GENHOSP", "", "M1")),
        ({"system": "empi", "value": "E7"}, Identifier("empi", "", "E7")),
        (identifier("9434765919", "https://nat.example/id", "NI"), None),
        (identifier("0000000000"), None),
    ],
)
def test_a_reference_by_an_identifier_names_a_patient_only_by_one_that_decides(entry: Resource, found: Identifier | None) -> None:
    contained = [{"resourceType": "Patient", "id": "x", "identifier": [entry]}]
    for items in (consent({"identifier": entry}), consent({"reference": "#x"}, contained)):
        (item,) = items
        assert (item.identifiers[0] if isinstance(item, PatientStatements) else None) == found
