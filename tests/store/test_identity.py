"""Which patient a payload is about: issuer, type and value, never a name."""

from __future__ import annotations

import pytest

from store.errors import IdentifierAmbiguous, PatientUnknown
from store.identity import Directory
from store.patient import PatientRef
from store.preference import Identifier
from tests.store.site import SYNCED, Site, mr, says

YES = {"do_not_contact": "yes"}


def test_a_patient_is_found_by_any_of_its_identifiers(site: Site) -> None:
    site.apply(says((mr("1"), mr("77", "SS", "SSA")), 0, YES))
    assert site.find("77", "SSA").id == site.find("1").id == site.find("1", None).id


def test_two_new_items_that_share_an_identifier_in_one_batch_are_one_patient(site: Site) -> None:
    shared = mr("77", "SS", "SSA")
    assert site.apply(says((mr("1"), shared), 0, {"do_not_contact": "no"}), says((mr("2"), shared), 1, YES)) == ["applied", "applied"]
    assert site.find("1").id == site.find("2").id
    assert site.dnc("1") == "yes"


def test_a_new_identifier_joins_its_patient(site: Site) -> None:
    site.apply(says("1", 0, YES))
    site.apply(says((mr("1"), mr("9", "AN")), 1, YES))
    assert site.find("9").id == site.find("1").id


def test_a_payload_whose_first_identifier_is_new_meets_its_patient_by_the_others(site: Site) -> None:
    site.apply(says((mr("1"), mr("77", "SS", "SSA")), 0, YES))
    site.apply(says((Identifier("fhir", "", "abc"), mr("77", "SS", "SSA")), 1, {"language": "es"}))
    assert site.find("abc", "fhir").id == site.find("1").id


def test_identifiers_of_different_patients_are_a_conflict_and_change_nothing(site: Site) -> None:
    site.apply(says("1", 0), says("2", 0))
    (outcome,) = site.outcomes(says((mr("3"), mr("1"), mr("2")), 1, YES))
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_conflict")
    assert (site.dnc("1"), site.dnc("2")) == ("unknown", "unknown")
    with pytest.raises(PatientUnknown):
        site.find("3")


def test_a_conflict_does_not_stop_the_rest_of_its_batch(site: Site) -> None:
    site.apply(says("1", 0), says("2", 0))
    conflict = says((mr("3"), mr("1"), mr("2")), 1, YES)
    assert site.apply(says("4", 1, YES), conflict, says("1", 1, YES)) == ["applied", "rejected", "applied"]
    assert (site.dnc("1"), site.dnc("2"), site.dnc("4")) == ("yes", "unknown", "yes")


@pytest.mark.parametrize(("first", "second"), [("MR", ""), ("", "MR")])
def test_an_unsaid_type_meets_the_same_value_of_the_same_issuer(site: Site, first: str, second: str) -> None:
    site.apply(says((mr("1", first),), 0))
    site.apply(says((mr("1", second),), 1, YES))
    assert site.dnc("1") == "yes"


def test_two_types_of_one_value_are_two_patients(site: Site) -> None:
    site.apply(says((mr("1", "MR"),), 0), says((mr("1", "AN"),), 0, YES))
    assert site.find("1", kind="MR").id != site.find("1", kind="AN").id
    with pytest.raises(IdentifierAmbiguous):
        site.find("1")


def test_an_unsaid_type_that_fits_two_patients_is_a_conflict_not_a_guess(site: Site) -> None:
    site.apply(says((mr("1", "MR"),), 0), says((mr("1", "AN"),), 0))
    (outcome,) = site.outcomes(says((mr("1", ""),), 1, YES))
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_conflict")
    assert site.find("1", kind="MR").contact.do_not_contact == site.find("1", kind="AN").contact.do_not_contact == "unknown"


def test_an_ambiguous_further_identifier_does_not_stand_in_the_way_of_a_clear_first_one(site: Site) -> None:
    site.apply(says((mr("1", "MR"),), 0), says((mr("1", "AN"),), 0), says("5", 0))
    assert site.apply(says((mr("5"), mr("1", "")), 1, YES)) == ["applied"]
    assert site.dnc("5") == "yes"


def test_the_exact_type_wins_over_an_unsaid_one() -> None:
    directory = Directory([("1", "GENHOSP", "", 10), ("1", "GENHOSP", "MR", 11)])
    assert (directory.find(mr("1")), directory.find(mr("1", ""))) == (11, 10)
    assert directory.find(mr("1", "AN")) == 10


@pytest.mark.parametrize("alias", ["GENHOSP", *SYNCED.authorities])
def test_an_issuer_is_known_by_each_of_its_names(site: Site, alias: str) -> None:
    site.apply(says("1", 0, YES))
    assert site.find("1", alias).contact.do_not_contact == "yes"
    assert not isinstance(site.store.known(site.enterprise, [PatientRef(authority=alias, value="1")], site.now)[0], Exception)


def test_the_same_value_of_another_issuer_is_somebody_else(site: Site) -> None:
    site.apply(says("1", 0, YES), says((mr("1", authority="OTHER"),), 0))
    assert site.find("1").id != site.find("1", "OTHER").id
    assert site.find("1", "OTHER").contact.do_not_contact == "unknown"


@pytest.mark.parametrize("value", ["", "nobody", "1\x00", "\x00", "%", "' OR 1=1 --", "\uff11"])
def test_odd_values_name_nobody_and_break_nothing(site: Site, value: str) -> None:
    site.apply(says("1", 0, YES))
    found = site.store.known(site.enterprise, [PatientRef(value=value), PatientRef(value="1")], site.now)
    assert isinstance(found[0], PatientUnknown)
    assert not isinstance(found[1], Exception)


@pytest.mark.parametrize("number", ["", "pt_", "pt_zzzzzzzzzzzzz", "pt_0000000000000", "1", "pt_000000000000\x00"])
def test_odd_ids_name_nobody(site: Site, number: str) -> None:
    with pytest.raises(PatientUnknown):
        site.store.find(site.enterprise, PatientRef(id=number))
