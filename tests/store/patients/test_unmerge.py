"""A merge that was a mistake is undone: both records are what they were, and nothing said against contacting is lost."""

from __future__ import annotations

from typing import Any

import pytest

from store import times
from store.domain.lock import Actor, Role
from store.domain.patient import Patient, PatientRef
from store.errors import MergeRefused, PatientUnknown
from store.preference import PatientMerge
from tests.store.site import CELL, FHIR, HOME, SYNCED, Site, at, cell, merges, mr, says

YES, NO = {"do_not_contact": "yes"}, {"do_not_contact": "no"}
OPERATOR = Actor(Role.OPERATOR, "robin")


def unmerge(site: Site, value: str) -> tuple[Patient, Patient]:
    ref = PatientRef(authority="GENHOSP", value=value)
    return site.store.unmerge(site.enterprise, ref, actor=OPERATOR, reason="two people of one name", now=site.tick())


def what(patient: Patient) -> Any:
    """Everything but the version, and when it was written and heard of."""
    marks = [(mark.source, mark.since, mark.attributes) for mark in patient.marks]
    return patient.id, patient.identifiers, marks, patient.preferences, patient.contact, patient.opt_outs, patient.shared_by


def test_both_records_are_what_they_were(site: Site) -> None:
    site.apply(says((mr("1"), mr("8", "SS")), 1, {**NO, "phones": (cell(CELL),), "language": "en"}))
    site.apply(says((mr("2"), mr("9", "SS")), 2, {**YES, "phones": (cell(HOME),), "consent.sms": "denied"}))
    site.apply(says("2", 3, {"email": ("invented@example.org",)}), source=FHIR)
    before = what(site.find("1")), what(site.find("2"))
    site.apply(merges("1", "2"))
    survivor, restored = unmerge(site, "2")
    assert (what(survivor), what(restored)) == before
    assert (what(site.find("8")), what(site.find("9"))) == before
    assert (site.dnc("1"), site.dnc("2")) == ("no", "yes")


def test_their_ways_part_again(site: Site) -> None:
    site.apply(says("1", 1, NO), says("2", 1, NO), merges("1", "2"))
    unmerge(site, "2")
    assert site.apply(says("2", 200, YES)) == ["applied"]
    assert (site.dnc("1"), site.dnc("2")) == ("no", "yes")


def test_what_was_stated_since_stays_with_the_survivor(site: Site) -> None:
    site.apply(says("1", 1, {"language": "en"}), says("2", 1, {"language": "es"}), merges("1", "2"))
    site.apply(says("1", 200, {"language": "fr", "do_not_contact": "no"}))
    unmerge(site, "2")
    assert (site.value("1", "language"), site.dnc("1")) == ("fr", "no")
    assert (site.value("2", "language"), site.dnc("2")) == ("es", "unknown")


@pytest.mark.parametrize(("attribute", "value"), [("do_not_contact", "yes"), ("consent.voice", "denied"), ("topic.recall.sms", "denied")])
@pytest.mark.parametrize("named", ["1", "2"])
def test_what_was_forbidden_since_holds_for_both(site: Site, attribute: str, value: str, named: str) -> None:
    site.apply(says("1", 1, NO), says("2", 1, NO), merges("1", "2"))
    site.apply(says(named, 200, {attribute: value}))
    unmerge(site, "2")
    assert site.value("1", attribute) == site.value("2", attribute) == value


def test_an_opt_out_of_the_merged_record_that_was_said_again_since_stays_with_the_survivor(site: Site) -> None:
    site.apply(says("1", 1, NO), says("2", 1, YES), merges("1", "2"))
    site.apply(says("1", 200, YES))
    unmerge(site, "2")
    assert site.dnc("1") == site.dnc("2") == "yes"


def test_what_was_forbidden_since_holds_against_what_is_older_though_the_record_had_forbidden_it_before(site: Site) -> None:
    site.apply(says("1", 1), says("2", 1), merges("1", "2", 2), says("1", 55, YES), says("2", 6, YES))
    unmerge(site, "2")
    assert site.apply(says("2", 39, NO)) == ["stale"]
    assert site.dnc("1") == site.dnc("2") == "yes"


def test_an_opt_out_of_the_merged_record_alone_goes_with_it(site: Site) -> None:
    site.apply(says("1", 1, NO), says("2", 1, YES), merges("1", "2"))
    assert site.dnc("1") == "yes"
    unmerge(site, "2")
    assert (site.dnc("1"), site.dnc("2")) == ("no", "yes")


def test_a_stop_that_displaced_with_its_number_comes_back_with_it(site: Site) -> None:
    site.apply(says("1", 1, {"phones": (cell(CELL),)}), says("2", 2, {"phones": (cell(HOME),)}))
    site.text("STOP")
    site.apply(merges("1", "2"))
    assert not site.may_text("1")
    unmerge(site, "2")
    assert not site.may_text("1")
    assert site.may_text("2")
    assert site.value("1", "consent.sms") is None


def test_a_stop_stays_where_its_number_does_not_come_back(site: Site) -> None:
    site.apply(says("1", 1, {"phones": (cell(CELL),)}), says("2", 2, {"phones": (cell(HOME),)}))
    site.text("STOP")
    site.apply(merges("1", "2"), says("1", 200, {"phones": (cell(HOME),)}))
    unmerge(site, "2")
    assert not site.may_text("1")


def test_a_survivor_that_nothing_was_said_of_is_empty_again(site: Site) -> None:
    site.apply(says("2", 1, {**YES, "phones": (cell(CELL),)}), merges("1", "2"))
    unmerge(site, "2")
    assert (site.dnc("1"), site.dnc("2")) == ("unknown", "yes")
    assert site.find("1").marks == ()
    assert site.find("2").shared_by == {CELL: 1}


def test_a_repeat_of_the_undone_message_does_not_merge_again_but_a_new_one_does(site: Site) -> None:
    site.apply(says("1", 1), says("2", 1, YES), merges("1", "2", 100))
    unmerge(site, "2")
    assert site.apply(merges("1", "2", 100)) == ["stale"]
    assert site.find("1").id != site.find("2").id
    assert site.apply(merges("1", "2", 300)) == ["merged"]
    assert site.find("1").id == site.find("2").id
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("order", [(12, 14), (14, 12)])
def test_an_opt_out_under_one_name_is_not_replaced_by_what_was_said_under_the_other(site: Site, order: tuple[int, int]) -> None:
    site.apply(says("1", 1, NO), says("2", 1, NO), merges("1", "2", 10))
    said = {12: says("2", 12, YES), 14: says("1", 14, NO)}
    for seconds in order:
        site.apply(said[seconds])
    assert site.dnc("1") == "no"
    unmerge(site, "2")
    assert (site.dnc("1"), site.dnc("2")) == ("no", "yes")


def test_an_opt_out_of_the_survivor_is_not_lifted_by_what_was_said_under_the_other_name(site: Site) -> None:
    site.apply(says("1", 1, YES), says("2", 1, NO), merges("1", "2", 10), says("2", 12, NO))
    assert site.dnc("1") == "no"
    unmerge(site, "2")
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "no")


def test_an_opt_out_that_was_said_again_under_a_name_outdates_what_comes_late(site: Site) -> None:
    site.apply(says("1", 1), says("2", 1, YES), merges("1", "2", 10))
    site.apply(says("2", 20, YES, evidence="again"))
    unmerge(site, "2")
    assert site.apply(says("2", 15, NO)) == ["stale"]
    assert site.dnc("2") == "yes"


def test_each_name_goes_on_by_itself_through_a_chain_of_merges(site: Site) -> None:
    site.apply(says("1", 1, NO), says("2", 1, NO), says("3", 1, NO))
    site.apply(merges("2", "1", 10), says("1", 12, YES), merges("3", "2", 20))
    site.apply(says("2", 21, YES), says("1", 22, NO), says("3", 24, NO))
    assert site.dnc("3") == "no"
    unmerge(site, "2")
    assert (site.dnc("3"), site.dnc("2")) == ("no", "no")
    unmerge(site, "1")
    assert (site.dnc("1"), site.dnc("2"), site.dnc("3")) == ("no", "yes", "no")


def test_what_was_stated_under_the_merged_name_goes_with_it_and_its_payload_is_known(site: Site) -> None:
    site.apply(says("1", 1, NO), says("2", 1, YES), merges("1", "2"))
    news = says((mr("2"), mr("9", "SS")), 200, {"do_not_contact": "no", "language": "es"})
    site.apply(news)
    unmerge(site, "2")
    assert (site.dnc("2"), site.value("2", "language")) == ("no", "es")
    assert site.find("9").id == site.find("2").id != site.find("1").id
    assert site.apply(news) == ["unchanged"]


def test_a_late_word_is_late_again(site: Site) -> None:
    site.apply(says("1", 5, NO), says("2", 1), merges("1", "2", 100))
    unmerge(site, "2")
    assert site.apply(says("1", 3, YES)) == ["stale"]
    assert site.dnc("1") == "no"


def test_merges_are_undone_latest_first(site: Site) -> None:
    site.apply(says("1", 1, NO), says("2", 1, YES), says("3", 1, {"consent.sms": "denied"}))
    before = [what(site.find(value)) for value in "123"]
    site.apply(merges("1", "2", 100), merges("1", "3", 101))
    with pytest.raises(MergeRefused, match="later"):
        unmerge(site, "2")
    unmerge(site, "3")
    unmerge(site, "2")
    assert [what(site.find(value)) for value in "123"] == before


def test_a_chain_is_undone_from_its_end(site: Site) -> None:
    site.apply(says("1", 1, YES), says("2", 1), says("3", 1))
    before = [what(site.find(value)) for value in "123"]
    site.apply(merges("2", "1", 100), merges("3", "2", 101))
    with pytest.raises(MergeRefused, match="later"):
        unmerge(site, "1")
    unmerge(site, "2")
    assert site.find("1").id == site.find("2").id != site.find("3").id
    unmerge(site, "1")
    assert [what(site.find(value)) for value in "123"] == before


def test_only_a_record_that_was_merged_away_can_be_taken_out(site: Site) -> None:
    site.apply(says("1", 1), says("2", 1), merges("1", "2"))
    with pytest.raises(MergeRefused, match="merged away"):
        unmerge(site, "1")
    with pytest.raises(PatientUnknown):
        unmerge(site, "3")
    merged = unmerge(site, "2")[1]
    with pytest.raises(MergeRefused):
        site.store.unmerge(site.enterprise, PatientRef(id=merged.id), actor=OPERATOR, reason="", now=site.tick())


def test_the_history_of_both_says_who_undid_it_and_why(site: Site) -> None:
    site.apply(says("1", 1, NO), says("2", 1, YES), merges("1", "2", 100))
    survivor, restored = unmerge(site, "2")
    mine, theirs = (site.store.history(site.enterprise, patient.id) for patient in (survivor, restored))
    (undone,) = [entry for entry in mine if entry.attribute == "unmerged"]
    assert (undone.after, undone.actor, undone.reason, undone.evidence_id) == (
        restored.id,
        "operator:robin",
        "two people of one name",
        "A40-100",
    )
    back = next(entry for entry in mine if entry.attribute == "do_not_contact")
    assert (back.before, back.after, back.actor, back.authority) == ("yes", "no", "operator:robin", "emr:adt")
    assert [(entry.before, entry.after) for entry in theirs if entry.attribute == "merged_into"] == [
        (survivor.id, None),
        (None, survivor.id),
    ]
    assert {change.patient_id for change in site.store.changes(site.enterprise, undone.seq - 2, 9)} >= {survivor.id, restored.id}


def renames(new: str, old: str, seconds: float = 100) -> PatientMerge:
    return PatientMerge((mr(new),), (mr(old),), times.at(at(seconds)), f"A47-{seconds}", renamed=True)


def test_a_record_under_a_new_identifier_answers_to_both(site: Site) -> None:
    site.apply(says("1", 1, YES))
    number = site.find("1").id
    assert site.apply(renames("2", "1"), renames("2", "1")) == ["merged", "unchanged"]
    assert site.find("2").id == site.find("1").id == number
    assert site.dnc("2") == "yes"


def test_a_new_identifier_that_is_another_patients_is_for_a_person_to_settle(site: Site) -> None:
    site.apply(says("1", 1, YES), says("2", 1, NO))
    (outcome,) = site.outcomes(renames("2", "1"))
    assert (outcome.outcome, outcome.reason) == ("rejected", "identifier_in_use")
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "no")


def test_a_change_of_an_identifier_that_nobody_had_is_kept_for_what_comes(site: Site) -> None:
    assert site.apply(renames("2", "1")) == ["merged"]
    site.apply(says("1", 1, YES))
    assert site.dnc("2") == "yes"


@pytest.mark.parametrize("by_id", [False, True], ids=["by an identifier", "by its id"])
def test_another_enterprise_undoes_no_merge(site: Site, by_id: bool) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    both.apply(says("1", 1, NO), says("2", 2, YES))
    merged = both.find("2").id
    both.apply(merges("1", "2"))
    ref = PatientRef(id=merged) if by_id else PatientRef(value="2")
    with pytest.raises(PatientUnknown):
        both.store.unmerge("other", ref, actor=OPERATOR, reason="", now=both.tick())
    assert both.find("2").id == both.find("1").id
