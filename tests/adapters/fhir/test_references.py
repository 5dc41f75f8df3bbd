"""Whom a Consent, a Flag or a link names, in the forms that servers and Bundles write."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import Item, Unmappable
from store.preference import Identifier, PatientMerge, PatientStatements
from tests.adapters.fhir.made import MRN, identifier, patient, read
from tests.adapters.fhir.test_records import SMS, consent

RI = Identifier("clinic", "RI", "p1")
URN = "urn:uuid:0C3F6B7E-1111-4222-8333-944445555666"
BASES = {"base_url": "http://ehr.example/fhir/r4", "other_base_urls": ["https://old.example:8443/r4/"]}


def about(item: Item) -> tuple[Identifier, ...]:
    assert isinstance(item, PatientStatements), item
    assert item.statements["consent.sms"].value == "denied"
    return item.identifiers


def deny(reference: Any, **elements: Any) -> dict[str, Any]:
    return consent(patient=reference if isinstance(reference, dict) else {"reference": reference}, decision="deny", **elements)


def named(reference: Any, **elements: Any) -> Item:
    (item,) = read(deny(reference, **elements), options=SMS | BASES)
    return item


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/p1",
        "/Patient/p1",
        "Patient/p1/_history/4",
        "http://ehr.example/fhir/r4/Patient/p1",
        "https://ehr.example/fhir/r4/Patient/p1",
        "HTTPS://EHR.example:443/fhir/r4/Patient/p1",
        "http://ehr.example:80/fhir/r4//Patient/p1",
        "https://old.example:8443/r4/Patient/p1/_history/2",
        " Patient/p1 ",
    ],
)
def test_a_patient_is_named_by_any_address_of_the_server(reference: str) -> None:
    assert about(named(reference)) == (RI,)


@pytest.mark.parametrize(
    "reference",
    [
        "https://other.example/fhir/r4/Patient/p1",
        "https://ehr.example:8443/fhir/r4/Patient/p1",
        "https://ehr.example/fhir/r4-old/Patient/p1",
        "https://ehr.example.evil.example/fhir/r4/Patient/p1",
        "https://old.example/r4/Patient/p1",
        "http://[::1/Patient/p1",
        URN,
        "#nobody",
        "Patient/",
        "Patient?name=Ann",
        "Practitioner/p1",
        7,
    ],
)
def test_another_server_names_nobody_here(reference: Any) -> None:
    item = named({"reference": reference})
    assert isinstance(item, Unmappable)
    assert item.reason == "patient_reference_missing"


def test_a_search_for_one_identifier_names_its_patient() -> None:
    assert about(named(f"Patient?identifier={MRN}|M1")) == (Identifier("GENHOSP", "", "M1"),)


def test_a_contained_patient_is_known_by_its_identifiers_and_not_by_its_anchor() -> None:
    held = [{"resourceType": "Patient", "id": "p", "identifier": [identifier()]}]
    assert about(named("#p", contained=held)) == (Identifier("GENHOSP", "MR", "M1"),)
    assert isinstance(named("#p", contained=[{"resourceType": "Patient", "id": "p"}]), Unmappable)


def bundle(*entries: tuple[str | None, dict[str, Any]]) -> dict[str, Any]:
    made = [{"resource": resource} | ({"fullUrl": url} if url else {}) for url, resource in entries]
    return {"resourceType": "Bundle", "type": "transaction", "entry": made}


@pytest.mark.parametrize("written", [URN, URN.lower()])
def test_a_consent_in_a_bundle_names_the_patient_by_its_full_url(written: str) -> None:
    first, second = read(bundle((URN, patient()), (None, deny(written))), options=SMS | BASES)
    assert isinstance(first, PatientStatements)
    assert about(second) == first.identifiers == (Identifier("GENHOSP", "MR", "M1"), RI)


def test_the_patient_may_come_behind_the_consent() -> None:
    first, _ = read(bundle((None, deny(URN)), (URN, patient())), options=SMS | BASES)
    assert about(first) == (Identifier("GENHOSP", "MR", "M1"), RI)


def test_a_full_url_at_another_address_is_the_patient_of_the_bundle() -> None:
    url = "https://gateway.example/Patient/p1"
    _, second = read(bundle((url, patient()), (None, deny(url))), options=SMS | BASES)
    assert about(second)[-1] == RI


def test_a_patient_of_a_bundle_without_an_id_is_known_by_the_identifiers() -> None:
    resource = {key: value for key, value in patient().items() if key != "id"}
    _, second = read(bundle((URN, resource), (None, deny(URN))), options=SMS | BASES)
    assert about(second) == (Identifier("GENHOSP", "MR", "M1"),)


def test_a_full_url_of_two_patients_names_neither() -> None:
    other = patient(id="p2", identifier=[identifier("M2")])
    items = read(bundle((URN, patient()), (URN, other), (None, deny(URN))), options=SMS | BASES)
    assert isinstance(items[-1], Unmappable)


def test_a_full_url_is_of_its_own_bundle_only() -> None:
    assert isinstance(named(URN), Unmappable)


def test_a_link_is_followed_by_the_same_forms() -> None:
    resource = patient(active=False, link=[{"type": "replaced-by", "other": {"reference": "https://ehr.example/fhir/r4/Patient/p2"}}])
    merge = read(resource, options=BASES)[-1]
    assert isinstance(merge, PatientMerge)
    assert merge.survivor == (Identifier("clinic", "RI", "p2"),)
