"""Two records of one person become one: opt-outs survive from either side, whatever arrives late (product rule 5.7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import times
from store.domain.decision import decide
from store.domain.decision_request import DecisionRequest
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.errors import PatientUnknown
from store.preference import PatientMerge
from tests.store.site import CELL, ENTERPRISE_USER, FHIR, HOME, LINE, LOCAL, OTHER_LINE, SYNCED, WORK, Site, at, cell, merges, mr, says

YES, NO = {"do_not_contact": "yes"}, {"do_not_contact": "no"}


@pytest.mark.parametrize(("survivor", "merged"), [(YES, NO), (NO, YES), (YES, {}), ({}, YES), (YES, {"do_not_contact": None})])
@pytest.mark.parametrize("newer", ["survivor", "merged"])
def test_do_not_contact_survives_from_either_side(site: Site, survivor: dict[str, str], merged: dict[str, str], newer: str) -> None:
    site.apply(says("1", 2 if newer == "survivor" else 1, survivor), says("2", 1 if newer == "survivor" else 2, merged))
    assert site.apply(merges("1", "2")) == ["merged"]
    assert site.dnc("1") == site.dnc("2") == "yes"


@pytest.mark.parametrize("seconds", [99, 100])
def test_an_opt_out_that_arrives_after_the_merge_counts_when_the_other_record_was_cleared_at_that_moment(
    site: Site, seconds: float
) -> None:
    """Of one moment nobody can tell whether the clear was about both already (product rule 5.1)."""
    site.apply(says("1", seconds, {"do_not_contact": None}), merges("2", "1"))
    site.apply(says("2", 50, YES))
    assert site.dnc("1") == site.dnc("2") == "yes"


@pytest.mark.parametrize("attribute", ["consent.sms", "consent.voice", f"consent.sms#{CELL}", "topic.recall.sms"])
@pytest.mark.parametrize("denied", ["1", "2"])
@pytest.mark.parametrize("first", ["1", "2"])
def test_a_denial_survives_from_either_side(site: Site, attribute: str, denied: str, first: str) -> None:
    for patient in "12":
        site.apply(says(patient, 1 if patient == first else 2, {attribute: "denied" if patient == denied else "granted"}))
    site.apply(merges("1", "2"))
    assert site.value("1", attribute) == "denied"


def test_of_other_attributes_the_newer_statement_stands(site: Site) -> None:
    site.apply(says("1", 1, {"language": "es", "phones": (cell(CELL),)}), says("2", 2, {"language": "en", "phones": (cell(HOME),)}))
    site.apply(merges("1", "2"))
    contact = site.known("1").contact
    assert (contact.language, [phone.number for phone in contact.phones]) == ("en", [HOME])


def test_an_older_clear_does_not_take_back_what_the_other_record_stated_since(site: Site) -> None:
    site.apply(says("1", 2, {**NO, "consent.sms": "granted"}), says("2", 1, {"do_not_contact": None, "consent.sms": None}))
    site.apply(merges("1", "2"))
    assert (site.dnc("1"), site.value("1", "consent.sms")) == ("no", "granted")


def test_what_different_sources_say_of_the_two_is_joined(site: Site) -> None:
    site.apply(says("1", 1, NO))
    site.apply(says("2", 1, YES), source=FHIR)
    site.apply(merges("1", "2"))
    assert site.dnc("1") == "yes"
    assert {mark.source for mark in site.find("1").marks} == {"adt", "fhir"}


def test_identifiers_and_ids_of_both_answer_with_the_survivor(site: Site) -> None:
    site.apply(says((mr("1"), mr("9", "SS")), 1), says((mr("2"), mr("8", "SS")), 1))
    survivor, merged = site.find("1"), site.find("2")
    site.apply(merges("1", "2"))
    for value in "1298":
        assert site.find(value).id == survivor.id
    assert site.store.find(site.enterprise, PatientRef(id=merged.id)).id == survivor.id
    known = site.store.known(site.enterprise, [PatientRef(id=merged.id)], site.now)[0]
    assert not isinstance(known, Exception)
    assert known.id == survivor.id


def test_a_chain_of_merges_ends_at_the_last_survivor(site: Site) -> None:
    site.apply(says("1", 1, YES), says("2", 1), says("3", 1))
    ids = [site.find(value).id for value in "123"]
    assert site.apply(merges("2", "1", 10), merges("3", "2", 11)) == ["merged", "merged"]
    assert {site.store.find(site.enterprise, PatientRef(id=number)).id for number in ids} == {ids[2]}
    assert site.dnc("1") == site.dnc("2") == site.dnc("3") == "yes"


def test_a_repeated_merge_changes_nothing(site: Site) -> None:
    site.apply(says("1", 1), says("2", 1, YES))
    site.apply(merges("1", "2"))
    before = site.find("1")
    assert site.apply(merges("1", "2")) == ["unchanged"]
    assert site.find("1") == before


def test_a_merge_into_itself_is_rejected(site: Site) -> None:
    site.apply(says("1", 1, YES))
    (outcome,) = site.outcomes(merges("1", "1"))
    assert (outcome.outcome, outcome.reason) == ("rejected", "merge_with_itself")
    (outcome,) = site.outcomes(PatientMerge((mr("1"),), (mr("1", ""),), times.at(at(5)), "E"))
    assert (outcome.outcome, outcome.reason) == ("rejected", "merge_with_itself")


def test_a_merge_the_other_way_round_is_rejected_as_a_circle(site: Site) -> None:
    site.apply(says("1", 1, YES), says("2", 1), says("3", 1))
    site.apply(merges("2", "1", 10), merges("3", "2", 11))
    for survivor, merged in (("1", "3"), ("2", "3")):
        (outcome,) = site.outcomes(merges(survivor, merged, 12))
        assert (outcome.outcome, outcome.reason) == ("rejected", "merge_circular")
    assert site.dnc("3") == "yes"


def test_an_unknown_survivor_is_created_with_all_that_the_merged_record_had(site: Site) -> None:
    site.apply(says("2", 1, {**YES, "language": "es"}))
    assert site.apply(merges("1", "2")) == ["merged"]
    assert (site.dnc("1"), site.value("1", "language"), site.find("1").id) == ("yes", "es", site.find("2").id)


def test_an_unknown_merged_record_becomes_another_name_of_the_survivor(site: Site) -> None:
    site.apply(says("1", 1, YES))
    assert site.apply(merges("1", "2")) == ["merged"]
    assert site.find("2").id == site.find("1").id


def test_a_merge_of_two_unknown_records_is_kept_for_what_comes(site: Site) -> None:
    assert site.apply(merges("1", "2"), merges("1", "2")) == ["merged", "unchanged"]
    site.apply(says("2", 200, YES))
    assert site.dnc("1") == "yes"


def test_records_that_share_a_further_identifier_can_be_merged(site: Site) -> None:
    shared = mr("77", "SS", "SSA")
    site.apply(says((mr("1"),), 1, NO), says((mr("2"), shared), 1, YES))
    assert site.apply(PatientMerge((mr("1"), shared), (mr("2"), shared), times.at(at(100)), "A40")) == ["merged"]
    assert site.dnc("1") == site.dnc("2") == "yes"


def test_a_merge_of_records_that_had_already_met_keeps_every_name_of_them(site: Site) -> None:
    shared = mr("77", "SS", "SSA")
    site.apply(says((mr("2"), shared), 1, YES))
    assert site.apply(PatientMerge((mr("1"), shared), (mr("2"),), times.at(at(100)), "A40")) == ["merged"]
    assert site.dnc("1") == "yes"


def test_a_local_do_not_contact_of_either_record_survives(site: Site) -> None:
    local = site.configured(LOCAL)
    local.apply(says("1", 1), says("2", 1))
    local.flip("1", "no")
    local.flip("2", "yes")
    local.flip("1", "yes")
    local.flip("1", "no")
    local.apply(merges("1", "2"))
    assert local.dnc("1") == "yes"
    assert local.flip("1", "no").contact.do_not_contact == "no"


def test_a_flip_after_a_merge_dated_ahead_of_our_clock_still_counts(site: Site) -> None:
    local = site.configured(LOCAL)
    local.apply(says("1", 1), says("2", 1))
    local.flip("2", "yes")
    local.apply(merges("1", "2", 20_000))
    assert local.flip("1", "no").contact.do_not_contact == "no"


@pytest.mark.parametrize("stopped", [CELL, HOME], ids=["survivor's number", "merged record's number"])
@pytest.mark.parametrize("newer", ["1", "2"])
def test_a_stop_from_either_records_number_survives(site: Site, stopped: str, newer: str) -> None:
    site.apply(
        says("1", 2 if newer == "1" else 1, {"phones": (cell(CELL),)}), says("2", 2 if newer == "2" else 1, {"phones": (cell(HOME),)})
    )
    site.text("STOP", number=stopped)
    site.apply(merges("1", "2"))
    assert not site.may_text("1")
    assert not site.may_text("2")


def test_start_from_a_number_on_file_lifts_a_stop_that_a_merge_kept(site: Site) -> None:
    site.apply(says("1", 2, {"phones": (cell(CELL),)}), says("2", 1, {"phones": (cell(HOME),)}))
    site.text("STOP", number=HOME)
    site.apply(merges("1", "2"))
    site.text("START", 1, number=CELL)
    assert not site.may_text("1")
    site.text("START", number=CELL)
    assert site.may_text("1")


@pytest.mark.parametrize("opted_out", ["1", "2"])
def test_start_does_not_lift_what_staff_recorded_for_a_number_that_a_merge_displaced(site: Site, opted_out: str) -> None:
    for patient, number in (("1", CELL), ("2", HOME)):
        site.apply(says(patient, 1 if patient == opted_out else 2, {"phones": (cell(number),)}))
    number = site.find(opted_out).id
    site.store.record_sms_opt_out(site.enterprise, number, line=None, actor=ENTERPRISE_USER, now=site.tick())
    site.apply(merges("1", "2"))
    for on_file in (CELL, HOME):
        site.text("START", number=on_file)
    assert not site.may_text("1")


def test_a_start_does_not_lift_what_the_emr_denied(site: Site) -> None:
    site.apply(says("1", 2, {"phones": (cell(CELL),)}), says("2", 1, {"consent.sms": "denied"}), merges("1", "2"))
    site.text("START", number=CELL)
    assert not site.may_text("1")


def test_a_merge_is_in_the_feed_for_both_names(site: Site) -> None:
    """A sender's copy of the merged record must not go on as if nobody had opted out."""
    site.apply(says("1", 1, YES), says("2", 1, NO))
    survivor, merged = site.find("1").id, site.find("2").id
    seq = site.store.changes(site.enterprise, 0, 10)[-1].seq
    site.apply(merges("1", "2"))
    assert {one.patient_id for one in site.store.changes(site.enterprise, seq, 10)} == {survivor, merged}


def test_the_history_of_the_survivor_has_the_lines_of_both(site: Site) -> None:
    site.apply(says("1", 1, {"language": "es"}, evidence="A"), says("2", 1, YES, evidence="B"), merges("1", "2"))
    history = site.store.history(site.enterprise, site.find("1").id)
    assert {"A", "B", "A40-100"} == {entry.evidence_id for entry in history}
    taken_over = [entry for entry in history if entry.attribute == "do_not_contact" and entry.evidence_id == "A40-100"]
    assert [(entry.before, entry.after) for entry in taken_over] == [(None, "yes")]


def test_a_shared_number_of_the_merged_record_is_counted_once(site: Site) -> None:
    phones = {"phones": (cell(CELL),)}
    site.apply(says("1", 1, phones), says("2", 1, phones), says("3", 1, phones))
    assert site.find("1").shared_by == {CELL: 3}
    site.apply(merges("1", "2"))
    assert site.find("1").shared_by == {CELL: 2}
    assert site.text("STOP").patients == 2


def test_merges_do_not_cross_enterprises(site: Site) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    both.apply(says("1", 1, YES))
    both.outcomes(merges("2", "1"), enterprise="other")
    assert both.find("1").identifiers == (mr("1"),)
    with pytest.raises(PatientUnknown):
        both.find("2")


def test_a_stop_survives_a_merge_when_the_number_came_on_file_by_a_new_order_of_the_sources(site: Site) -> None:
    site.apply(says("2", 1, {"phones": (cell(CELL),)}))
    site.apply(says("2", 1, {"phones": (cell(HOME),)}), source=FHIR)
    site.text("STOP", number=HOME)
    turned = site.configured(replace(SYNCED, sources=SYNCED.sources[::-1]))
    assert not turned.may_text("2")
    turned.apply(says("1", 2, {"phones": (cell(CELL),)}), source=FHIR)
    turned.apply(merges("1", "2"), source=FHIR)
    assert not turned.may_text("1")


@pytest.mark.parametrize(("survivor", "merged"), ["12", "21"])
def test_a_local_do_not_contact_is_not_lifted_by_what_the_emr_had_said_of_the_other_record(site: Site, survivor: str, merged: str) -> None:
    local = site.configured(LOCAL)
    local.apply(says("1", 1), says("2", 1, NO))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    synced.now = local.now
    flipped = (local.now - at(0)).total_seconds()
    synced.apply(merges(survivor, merged, flipped + 1))
    assert (synced.dnc("1"), synced.dnc("2")) == ("yes", "yes")
    synced.apply(says(merged, flipped + 2, NO))
    assert synced.dnc("1") == "no"


def test_a_merge_does_not_bring_back_a_local_do_not_contact_that_the_emr_had_replaced(site: Site) -> None:
    local = site.configured(LOCAL)
    local.apply(says("1", 1, NO), says("2", 1, NO))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    synced.apply(says("1", 20_000, NO))
    assert synced.dnc("1") == "no"
    synced.apply(merges("1", "2"))
    assert synced.dnc("1") == "no"


def displaced(site: Site, word: str = "STOP", line: str = LINE) -> None:
    """The number CELL of record 1 said no, and the merge takes it off the patient."""
    site.apply(says("1", 1, {"phones": (cell(CELL),)}), says("2", 2, {"phones": (cell(HOME),)}))
    site.text(word, line=line)
    site.apply(merges("1", "2"))
    assert not site.may_text("1")


def test_start_from_a_number_that_a_merge_displaced_lifts_its_own_stop(site: Site) -> None:
    displaced(site)
    site.text("START")
    assert site.may_text("1")


def test_an_older_start_from_a_displaced_number_lifts_nothing(site: Site) -> None:
    displaced(site)
    site.text("START", 5)
    assert not site.may_text("1")


def test_start_from_a_displaced_number_lifts_its_line_only_and_nothing_of_another_number(site: Site) -> None:
    displaced(site)
    site.text("STOP", line=OTHER_LINE)
    site.text("START")
    assert (site.may_text("1"), site.may_text("1", OTHER_LINE)) == (True, False)
    site.text("STOP", number=HOME)
    site.apply(says("3", 3, {"phones": (cell(WORK),)}), merges("1", "3", 200))
    site.text("START", line=OTHER_LINE)
    assert (site.may_text("1"), site.may_text("1", OTHER_LINE)) == (False, True)
    site.text("START", number=HOME)
    assert site.may_text("1")


def test_start_from_a_displaced_number_that_somebody_else_has_by_now_lifts_nothing(site: Site) -> None:
    displaced(site)
    site.apply(says("3", 3, {"phones": (cell(CELL),)}))
    site.text("START")
    assert not site.may_text("1")
    assert site.may_text("3")


def test_start_from_a_displaced_number_lifts_what_a_chain_of_merges_kept(site: Site) -> None:
    displaced(site)
    site.apply(says("3", 3, {"phones": (cell(WORK),)}), merges("3", "1", 200))
    assert not site.may_text("3")
    site.text("START")
    assert site.may_text("3")


def test_start_from_a_displaced_number_does_not_lift_what_staff_recorded_for_it(site: Site) -> None:
    site.apply(says("1", 1, {"phones": (cell(CELL),)}), says("2", 2, {"phones": (cell(HOME),)}))
    site.store.record_sms_opt_out(site.enterprise, site.find("1").id, line=None, actor=Actor(Role.STAFF, "sam"), now=site.tick())
    site.apply(merges("1", "2"))
    site.text("START")
    assert not site.may_text("1")


def test_an_opt_out_of_a_topic_survives_a_merge_that_displaces_its_number(site: Site) -> None:
    site.apply(says("1", 1, {"phones": (cell(CELL),)}), says("2", 2, {"phones": (cell(HOME),)}))
    number, sam = site.find("1").id, Actor(Role.STAFF, "sam")
    site.store.record_sms_opt_out(site.enterprise, number, line=None, topic="recall", actor=sam, now=site.tick())
    site.apply(merges("1", "2"))
    assert [(one.topic, one.number) for one in site.find("1").opt_outs] == [("recall", CELL)]
    assert site.value("1", "consent.sms") is None
    about = [DecisionRequest(message_type="broadcast", channels=("sms",), line=LINE, topic=topic) for topic in ("recall", "billing")]
    assert [decide(ask, site.known("1"), Policy(), site.now).channel for ask in about] == [None, "sms"]
