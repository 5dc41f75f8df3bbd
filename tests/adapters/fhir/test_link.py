from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.base import Filtered
from store import times
from store.preference import Identifier, PatientMerge, PatientStatements, Statement
from tests.adapters.fhir.made import patient, read, reasons, said

OWN = (Identifier("clinic", "RI", "p1"), Identifier("GENHOSP", "MR", "M1"))
OTHER = (Identifier("clinic", "RI", "p2"),)
DNC = {"do_not_contact": {"from": "Patient.extension('https://e.example/dnc').valueBoolean", "values": {"true": "yes", "false": "no"}}}


def linked(kind: str, other: Any, **elements: Any) -> dict[str, Any]:
    return patient(link=[{"type": kind, "other": other}], telecom=[{"system": "phone", "value": "217-555-0123"}], **elements)


def to(reference: str) -> dict[str, str]:
    return {"reference": reference}


@pytest.mark.parametrize("kind", ["replaced-by", "replace"])
def test_inactive_record_that_was_replaced_is_merged_into_its_survivor(kind: str) -> None:
    (merge,) = read(linked(kind, to("Patient/p2"), active=False))
    assert isinstance(merge, PatientMerge)
    assert (merge.survivor, merge.merged) == (OTHER, OWN)


def test_survivor_that_replaces_a_record_takes_it_in() -> None:
    said_first, merge = read(linked("replaces", to("Patient/p2/_history/4")))
    assert isinstance(said_first, PatientStatements)
    assert isinstance(merge, PatientMerge)
    assert (merge.survivor, merge.merged) == (OWN, OTHER)


def test_opt_out_survives_on_a_record_merged_away_and_its_phones_do_not() -> None:
    resource = linked("replaced-by", to("Patient/p2"), active=False, extension=[{"url": "https://e.example/dnc", "valueBoolean": True}])
    kept, merge = read(resource, mapping=DNC)
    assert isinstance(merge, PatientMerge)
    assert isinstance(kept, PatientStatements)
    assert kept.statements == {"do_not_contact": Statement("yes", "Patient.extension[0].valueBoolean")}


def test_death_survives_on_a_record_merged_away() -> None:
    kept, _ = read(linked("replaced-by", to("Patient/p2"), active=False, deceasedBoolean=True))
    assert isinstance(kept, PatientStatements)
    assert set(kept.statements) == {"deceased"}
    assert len(read(linked("replaced-by", to("Patient/p2"), active=False, deceasedBoolean=False))) == 1


def test_permission_of_a_record_merged_away_is_not_kept() -> None:
    resource = linked("replaced-by", to("Patient/p2"), active=False, extension=[{"url": "https://e.example/dnc", "valueBoolean": False}])
    (merge,) = read(resource, mapping=DNC)
    assert isinstance(merge, PatientMerge)


def test_untrusted_time_does_not_make_news_of_a_record_merged_away() -> None:
    resource = linked("replaced-by", to("Patient/p2"), active=False, extension=[{"url": "https://e.example/dnc", "valueBoolean": True}])
    kept, _ = read(resource, mapping=DNC, options={"trust_last_updated": False})
    assert isinstance(kept, PatientStatements)
    assert kept.effective == times.at(datetime(1970, 1, 1, tzinfo=UTC))


def test_own_absolute_address_names_the_survivor() -> None:
    resource = linked("replaced-by", to("https://ehr.example/r4/Patient/p2"), active=False)
    (merge,) = read(resource, options={"base_url": "https://ehr.example/r4/"})
    assert isinstance(merge, PatientMerge)
    assert merge.survivor == OTHER


@pytest.mark.parametrize(
    ("resource", "reason", "where"),
    [
        (linked("replaced-by", to("Patient/p2"), active=True), "replaced_but_active", "Patient.link[0]"),
        (linked("replaced-by", to("Patient/p2")), "replaced_but_active", "Patient.link[0]"),
        (linked("replaced-by", to("https://other.example/Patient/p2"), active=False), "link_unresolvable", "Patient.link[0].other"),
        (linked("replaced-by", to("#p2"), active=False), "link_unresolvable", "Patient.link[0].other"),
        (linked("replaced-by", to("RelatedPerson/p2"), active=False), "link_unresolvable", "Patient.link[0].other"),
        (linked("replaced-by", "Patient/p2", active=False), "link_unresolvable", "Patient.link[0].other"),
        (linked("replaced-by", to("Patient/p1"), active=False), "link_to_itself", "Patient.link[0].other"),
    ],
)
def test_link_that_cannot_be_followed_is_a_problem_and_the_patient_stands(resource: dict[str, Any], reason: str, where: str) -> None:
    assert reasons(resource) == [(reason, where)]
    assert "phones" in said(resource).statements


@pytest.mark.parametrize("link", [[{"type": "seealso", "other": to("Patient/p2")}], [], "x", [None]])
def test_other_links_change_nothing(link: Any) -> None:
    (item,) = read(patient(link=link))
    assert isinstance(item, PatientStatements)


@pytest.mark.parametrize("kind", ["RelatedPerson", "Person", "Observation", "OperationOutcome"])
def test_other_resources_are_none_of_our_concern(kind: str) -> None:
    assert read({"resourceType": kind, "id": "x"}) == [Filtered("resource_not_used", "file:1")]
