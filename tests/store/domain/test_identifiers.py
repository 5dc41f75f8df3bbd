"""Which patient a payload is about: issuer, type and value, never a name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import times
from store.db.database import Database
from store.domain.enterprise import Source
from store.domain.identifiers import OWN, Directory, KnownIdentifier
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.errors import IdentifierAmbiguous, PatientUnknown
from store.patients.identity_check import IdentityCheck
from store.preference import Identifier, PatientMerge
from tests.store.site import ADT, FHIR, SYNCED, Site, at, mr, says

YES = {"do_not_contact": "yes"}


def empi(value: str) -> Identifier:
    """A number of the enterprise's own index of patients, which links."""
    return Identifier("EMPI", "PI", value)


def clinic(value: str) -> Identifier:
    """The own identifier of the second source."""
    return Identifier("CLINIC", "MR", value)


LINKED = replace(
    SYNCED,
    linking=frozenset({"EMPI"}),
    sources=(
        Source(ADT, "Hospital ADT", patient_id=(("GENHOSP", "MR"), ("GENHOSP", "MRN"))),
        Source(FHIR, "Clinic FHIR", patient_id=(("CLINIC", "MR"),)),
    ),
)


@pytest.fixture
def linked(database: Database) -> Site:
    """Two sources with patients of their own, and an authority whose identifiers link them."""
    return Site(database, LINKED)


def test_a_patient_is_found_by_any_of_its_identifiers(site: Site) -> None:
    site.apply(says((mr("1"), mr("77", "SS", "SSA")), 0, YES))
    assert site.find("77", "SSA").id == site.find("1").id == site.find("1", None).id


def test_a_shared_further_identifier_joins_nobody(site: Site) -> None:
    shared = mr("77", "PN", "FMP")
    assert site.apply(says((mr("1"), shared), 0, YES), says((mr("2"), shared), 1, {"do_not_contact": "no"})) == ["applied", "applied"]
    site.apply(says((mr("3"), shared), 2, {"do_not_contact": "no"}))
    assert len({site.find(number).id for number in "123"}) == 3
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "no")
    with pytest.raises(IdentifierAmbiguous):
        site.find("77", "FMP")


def test_whoever_owns_an_identifier_answers_to_it_before_those_who_only_list_it(linked: Site) -> None:
    linked.apply(says((clinic("5"),), 0, YES), source=FHIR)
    linked.apply(says((mr("1"), clinic("5")), 1, {"do_not_contact": "no"}))
    assert linked.find("5", "CLINIC").contact.do_not_contact == "yes"
    assert linked.find("1").id != linked.find("5", "CLINIC").id


def test_who_only_lists_an_identifier_is_not_the_patient_who_owns_it(linked: Site) -> None:
    linked.apply(says((mr("1"), clinic("5")), 1, {"do_not_contact": "no"}))
    linked.apply(says((clinic("5"),), 2, YES), source=FHIR)
    assert (linked.dnc("1"), linked.find("5", "CLINIC").contact.do_not_contact) == ("no", "yes")


def test_a_new_identifier_is_added_to_its_patient(site: Site) -> None:
    site.apply(says("1", 0, YES))
    site.apply(says((mr("1"), mr("9", "AN")), 1, YES))
    assert site.find("9").id == site.find("1").id


@pytest.mark.parametrize("together", [True, False])
def test_two_sources_meet_on_one_patient_by_a_linking_identifier(linked: Site, together: bool) -> None:
    linked.apply(says((mr("1"), empi("E7")), 0, {"do_not_contact": "no"}))
    mine = says((clinic("5"), Identifier("empi", "pi", "E7")), 1, YES)
    others = [says((clinic(f"x{number}"),), 1, YES) for number in range(3)]
    linked.apply(*([mine, *others] if together else [mine]), source=FHIR)
    assert linked.find("5", "CLINIC").id == linked.find("1").id
    assert linked.dnc("1") == "yes"
    assert linked.apply(mine, source=FHIR) == ["unchanged"]


def test_a_link_is_undone_like_a_merge_and_each_source_keeps_its_own(linked: Site) -> None:
    linked.apply(says((mr("1"), empi("E7")), 0, {"do_not_contact": "no", "language": "en"}))
    linked.apply(says((clinic("5"), empi("E7")), 1, {"do_not_contact": "yes", "language": "es"}), source=FHIR)
    linked.apply(says((mr("1"), empi("E7")), 2, {"do_not_contact": "no", "language": "de"}))
    by, own = Actor(Role.OPERATOR, "kim"), PatientRef(authority="CLINIC", value="5")
    linked.store.unmerge(linked.enterprise, own, actor=by, reason="two people", now=linked.tick())
    one, other = linked.find("1"), linked.find("5", "CLINIC")
    assert one.id != other.id
    assert (one.preferences["language"].value, other.preferences["language"].value) == ("de", "es")
    assert (one.contact.do_not_contact, other.contact.do_not_contact) == ("no", "yes")
    linked.apply(says((clinic("5"), empi("E7")), 3, {"language": "fr"}), source=FHIR)
    assert linked.find("5", "CLINIC").preferences["language"].value == "fr"
    assert linked.find("1").preferences["language"].value == "de"


def test_a_link_does_not_move_the_times_of_what_either_source_stated(linked: Site) -> None:
    linked.apply(says((mr("1"), empi("E7")), 0, YES))
    linked.apply(says((clinic("5"), empi("E7")), 50, {"language": "es"}), source=FHIR)
    assert linked.apply(says((mr("1"), empi("E7")), 20, {"do_not_contact": "no"})) == ["applied"]
    assert linked.dnc("1") == "no"


@pytest.mark.parametrize("seen", [True, False])
def test_a_linking_identifier_never_joins_two_own_identifiers_of_one_issuer_and_type(linked: Site, seen: bool) -> None:
    first = says((mr("1"), empi("E7")), 0, YES)
    second = says((Identifier("genhosp", "mr", "2"), empi("E7")), 1, {"do_not_contact": "no"})
    if seen:
        linked.apply(first)
    (outcome,) = linked.outcomes(second) if seen else linked.outcomes(first, second)[1:]
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_conflict")
    assert "genhosp/mr" in outcome.detail
    assert "E7" not in outcome.detail
    assert linked.dnc("1") == "yes"
    with pytest.raises(PatientUnknown):
        linked.find("2")


def test_linking_identifiers_that_lead_to_different_patients_are_a_conflict(linked: Site) -> None:
    linked.apply(says((mr("1"), empi("E1")), 0), says((mr("2"), empi("E2")), 0))
    (outcome,) = linked.outcomes(says((clinic("5"), empi("E1"), empi("E2")), 1, YES), source=FHIR)
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_conflict")
    assert (linked.dnc("1"), linked.dnc("2")) == ("unknown", "unknown")
    with pytest.raises(PatientUnknown):
        linked.find("5", "CLINIC")


def test_a_known_own_identifier_decides_against_any_linking_one(linked: Site) -> None:
    linked.apply(says((mr("1"), empi("E1")), 0), says((mr("2"), empi("E2")), 0))
    assert linked.apply(says((mr("1"), empi("E2")), 1, YES)) == ["applied"]
    assert (linked.dnc("1"), linked.dnc("2")) == ("yes", "unknown")


def test_what_links_is_not_what_is_for_look_up(linked: Site) -> None:
    national = Identifier("NHS", "NI", "9434765919")
    linked.apply(says((mr("1"), national), 0, YES))
    linked.apply(says((clinic("5"), national), 1), source=FHIR)
    assert linked.find("1").id != linked.find("5", "CLINIC").id


def test_an_authority_that_starts_to_link_finds_whom_it_named_before(linked: Site) -> None:
    before = linked.configured(replace(LINKED, linking=frozenset()))
    before.apply(says((mr("1"), empi("E7")), 0, YES))
    linked.apply(says((clinic("5"), empi("E7")), 1), source=FHIR)
    assert linked.find("1").id == linked.find("5", "CLINIC").id


def test_a_second_type_that_the_source_owns_is_a_namespace_of_its_own(linked: Site) -> None:
    linked.apply(says((mr("1", "MR"),), 0, YES), says((mr("1", "MRN"),), 0, {"do_not_contact": "no"}))
    assert linked.find("1", kind="MR").contact.do_not_contact == "yes"
    assert linked.find("1", kind="MRN").contact.do_not_contact == "no"
    linked.apply(says((mr("9", "MRN"), mr("1", "MR")), 1, {"language": "es"}))
    assert linked.find("9", kind="mrn").id == linked.find("1", kind="mr").id


def test_a_record_id_of_the_source_is_its_own_and_meets_the_record_that_comes_later(linked: Site) -> None:
    record = Identifier(FHIR, "RI", "abc")
    linked.apply(says((record,), 0, YES), source=FHIR)
    linked.apply(says((clinic("5"), record), 1, {"language": "es"}), source=FHIR)
    assert linked.find("5", "CLINIC").contact.do_not_contact == "yes"


def test_a_record_whose_number_was_corrected_goes_on_and_is_found_by_both(linked: Site) -> None:
    record, other = Identifier(FHIR, "RI", "abc"), Identifier(FHIR, "RI", "xyz")
    linked.apply(says((clinic("5"), record), 0), source=FHIR)
    assert linked.apply(says((clinic("6"), record), 1, YES), source=FHIR) == ["applied"]
    assert linked.find("5", "CLINIC").id == linked.find("6", "CLINIC").id
    assert linked.find("6", "CLINIC").contact.do_not_contact == "yes"
    (outcome,) = linked.outcomes(says((clinic("5"), other), 2, {"do_not_contact": "no"}), source=FHIR)
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_conflict")
    assert IdentityCheck(linked.store, linked.enterprise).find() == []


def test_a_conflict_does_not_stop_the_rest_of_its_batch(linked: Site) -> None:
    linked.apply(says((mr("1"), empi("E1")), 0), says((mr("2"), empi("E2")), 0))
    conflict = says((mr("3"), empi("E1")), 1, YES)
    assert linked.apply(says("4", 1, YES), conflict, says("1", 1, YES)) == ["applied", "rejected", "applied"]
    assert (linked.dnc("1"), linked.dnc("2"), linked.dnc("4")) == ("yes", "unknown", "yes")


def test_case_of_authority_and_type_does_not_matter(site: Site) -> None:
    site.apply(says("1", 0, YES))
    site.apply(says((Identifier("genhosp", "mr", "1"),), 1, {"language": "es"}))
    assert site.find("1", "genHosp", "Mr").preferences["language"].value == "es"
    assert len(site.find("1").identifiers) == 1


def test_an_identifier_from_before_kinds_were_kept_goes_on_deciding(site: Site) -> None:
    site.apply(says((mr("1"), mr("77", "SS", "SSA")), 0, YES))
    with site.database.write(site.enterprise) as transaction:
        transaction.exec_driver_sql("UPDATE identifiers SET kind = ''")
    site.apply(says("1", 1, {"language": "es"}))
    site.apply(says((mr("77", "SS", "SSA"),), 2, {"language": "de"}), source=FHIR)
    assert (site.value("1", "language"), site.find("77", "SSA").id) == ("es", site.find("1").id)
    with site.database.read() as connection:
        kinds = dict(site.database.select(connection, "SELECT authority, kind FROM identifiers", []))
    assert kinds == {"GENHOSP": "own", "SSA": "own"}


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


def test_an_unsaid_type_that_fits_two_patients_is_a_conflict_and_only_refuses_for_either(site: Site) -> None:
    site.apply(says((mr("1", "MR"),), 0), says((mr("1", "AN"),), 0))
    (outcome,) = site.outcomes(says((mr("1", ""),), 1, YES))
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_conflict")
    assert site.find("1", kind="MR").contact.do_not_contact == site.find("1", kind="AN").contact.do_not_contact == "yes"
    (outcome,) = site.outcomes(says((mr("1", ""),), 2, {"do_not_contact": "no"}))
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_conflict")
    assert site.find("1", kind="MR").contact.do_not_contact == site.find("1", kind="AN").contact.do_not_contact == "yes"


def test_an_ambiguous_further_identifier_does_not_stand_in_the_way_of_a_clear_first_one(site: Site) -> None:
    site.apply(says((mr("1", "MR"),), 0), says((mr("1", "AN"),), 0), says("5", 0))
    assert site.apply(says((mr("5"), mr("1", "")), 1, YES)) == ["applied"]
    assert site.dnc("5") == "yes"


def test_the_exact_type_wins_over_an_unsaid_one() -> None:
    directory = Directory([KnownIdentifier("1", "GENHOSP", "", 10, 10, OWN), KnownIdentifier("1", "GENHOSP", "MR", 11, 11, OWN)])
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


def test_a_consent_that_came_before_its_patient_counts_for_the_patient_that_another_feed_knows(linked: Site) -> None:
    record = Identifier(FHIR, "RI", "abc")
    shared = replace(LINKED, sources=(LINKED.sources[0], Source(FHIR, "Hospital FHIR", patient_id=(("GENHOSP", "MR"),))))
    site = linked.configured(shared)
    site.apply(says("1", 0, {"do_not_contact": "no", "consent.sms": "granted"}))
    site.apply(says((record,), 1, {"consent.sms": "denied"}), source=FHIR)
    both = says((mr("1"), record), 2, {"language": "es"}), says((mr("2"),), 2, YES)
    assert site.apply(*both, source=FHIR) == ["applied", "applied"]
    assert site.find("abc", FHIR).id == site.find("1").id
    assert (site.value("1", "consent.sms"), site.value("1", "language"), site.dnc("2")) == ("denied", "es", "yes")
    assert site.apply(says((record,), 3, {"consent.sms": "granted"}), source=FHIR) == ["applied"]
    assert site.apply(*both, source=FHIR) == ["unchanged", "unchanged"]


def test_a_record_id_that_another_patient_has_beside_more_is_a_conflict(linked: Site) -> None:
    record = Identifier(FHIR, "RI", "abc")
    linked.apply(says((clinic("5"), record), 0, YES), says((clinic("6"),), 0), source=FHIR)
    (outcome,) = linked.outcomes(says((clinic("6"), record), 1, {"language": "es"}), source=FHIR)
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_conflict")
    assert "abc" not in outcome.detail
    assert linked.find("abc", FHIR).id == linked.find("5", "CLINIC").id
    assert linked.find("6", "CLINIC").preferences == {}


def test_a_further_own_identifier_of_somebody_else_is_not_taken_from_them(linked: Site) -> None:
    linked.apply(says((mr("1"),), 0, YES), says((mr("9", "MRN"),), 0, {"do_not_contact": "no"}))
    assert linked.apply(says((mr("1"), mr("9", "MRN")), 1, {"language": "es"})) == ["applied"]
    assert linked.find("9", kind="MRN").id != linked.find("1", kind="MR").id
    assert linked.apply(says((mr("9", "MRN"),), 2, {"language": "de"})) == ["applied"]


def test_a_merge_that_names_a_record_by_a_link_that_nobody_has_waits_for_it(linked: Site) -> None:
    gone = PatientMerge((mr("1"),), (empi("E7"),), times.at(at(9)), "A40")
    linked.apply(says("1", 0, {"do_not_contact": "no"}))
    (outcome,) = linked.outcomes(gone)
    assert (outcome.outcome, outcome.reason) == ("rejected", "patient_unknown")
    linked.apply(says((mr("2"), empi("E7")), 1, YES))
    assert linked.apply(gone) == ["merged"]
    assert linked.dnc("1") == "yes"
