"""A STOP is the patient's word about a line: it stays with them, whatever numbers the EMR lists for them (product section 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.domain.sms_consent import OPT_OUT_CONFIRMED, display
from store.patients.preferences import Preferences
from store.preference import FAX, Phone
from tests.store.site import ADT, CELL, FHIR, HOME, LINE, OTHER_LINE, SYNCED, WORK, Site, at, cell, merges, says

STAFF = Actor(Role.STAFF, "sam")
BOTH = {"phones": (cell(CELL), cell(HOME))}


def lists(site: Site, patient: str, seconds: float, *numbers: str, source: str = ADT) -> None:
    site.apply(says(patient, seconds, {"phones": tuple(cell(number) for number in numbers)}), source=source)


def by_hand(site: Site, line: str | None, patient: str = "1", topic: str | None = None) -> None:
    who = site.find(patient).id
    site.store.record_sms_opt_out(site.enterprise, who, line=line, topic=topic, actor=STAFF, now=site.tick(), reason="phoned")


def shown(site: Site, patient: str = "1") -> str:
    found = site.find(patient)
    assert site.known(patient).opt_outs == found.opt_outs
    return display(found.contact, found.opt_outs)


def then(site: Site) -> None:
    """What is known now is what will have been known."""
    found = site.find("1")
    assert site.store.as_of(site.enterprise, PatientRef(id=found.id), site.now).opt_outs == found.opt_outs


def test_a_stop_from_one_of_two_cells_holds_when_the_emr_lists_only_the_other(site: Site) -> None:
    site.apply(says("1", 0, BOTH))
    site.text("STOP")
    lists(site, "1", 1, HOME)
    assert (site.decision("1").decision, shown(site)) == ("do_not_send", "Opted Out of 1 number")
    assert site.may_text("1", OTHER_LINE)
    then(site)


@pytest.mark.parametrize("numbers", [(), (WORK,), (HOME, WORK)])
def test_a_stop_stays_whatever_numbers_come(site: Site, numbers: tuple[str, ...]) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP")
    lists(site, "1", 1)
    lists(site, "1", 2, *numbers)
    lists(site, "1", 3, *numbers, HOME)
    assert not site.may_text("1")
    then(site)


def test_a_stop_all_stays_for_every_line(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOPALL")
    lists(site, "1", 1, HOME)
    assert [site.may_text("1", line) for line in (LINE, OTHER_LINE, None)] == [False, False, False]
    site.text("START", number=HOME)
    assert [site.may_text("1", line) for line in (LINE, OTHER_LINE, None)] == [True, False, False]


@pytest.mark.parametrize("number", [CELL, HOME], ids=["that number", "a number that only this patient has"])
def test_start_ends_it(site: Site, number: str) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP")
    lists(site, "1", 1, HOME)
    site.text("START", 1, number=number)
    assert not site.may_text("1"), "an older START ends nothing"
    site.text("START", number=number)
    assert site.may_text("1")
    then(site)


def test_start_from_a_number_that_others_have_too_does_not_end_it(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP")
    lists(site, "1", 1, HOME)
    lists(site, "2", 1, HOME)
    site.text("START", number=HOME)
    assert (site.may_text("1"), site.may_text("2")) == (False, True)


def test_start_from_a_former_number_that_somebody_else_has_by_now_does_not_end_it(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP")
    lists(site, "1", 1, HOME)
    lists(site, "2", 1, CELL)
    assert not site.may_text("2"), "by its number, until the new owner says START"
    site.text("START")
    assert (site.may_text("1"), site.may_text("2")) == (False, True)


def test_a_stop_from_a_number_that_only_the_second_source_lists_binds(site: Site) -> None:
    lists(site, "1", 0, CELL)
    lists(site, "1", 0, HOME, source=FHIR)
    assert site.text("STOP", number=HOME).patients == 1
    assert (site.may_text("1"), shown(site)) == (False, "Opted Out of 1 number")
    then(site)


def test_a_stop_from_a_fax_or_pager_of_the_patient_binds(site: Site) -> None:
    site.apply(says("1", 0, {"phones": (cell(CELL), Phone(HOME, FAX))}))
    assert site.may_text("1")
    assert site.text("STOP", number=HOME).patients == 1
    assert (site.may_text("1"), shown(site)) == (False, "Opted Out of 1 number")
    then(site)


def test_a_fax_is_never_an_address_and_a_phone_of_another_list_with_its_number_is(site: Site) -> None:
    fax = (Phone(HOME, FAX),)
    site.apply(says("1", 0, {"phones": fax, "preferred_phone": HOME}))
    assert site.decision("1", channels=("sms", "voice")).decision == "do_not_send"
    assert site.find("1").preferences["phones"].value == ()
    site.apply(says("2", 0, {"phones#PID-13": fax, "phones#PID-14": (cell(HOME),)}))
    assert site.may_text("2")


def test_a_number_that_only_the_second_source_lists_is_looked_at_though_it_said_stop_before(site: Site) -> None:
    site.text("STOP", number=HOME)
    lists(site, "1", 0, CELL)
    lists(site, "1", 0, HOME, source=FHIR)
    assert not site.may_text("1")
    then(site)
    turned = site.configured(replace(SYNCED, sources=SYNCED.sources[::-1]))
    assert not turned.may_text("1")


def test_an_order_of_sources_that_changes_hides_no_opt_out(site: Site) -> None:
    lists(site, "1", 0, CELL)
    lists(site, "1", 0, HOME, source=FHIR)
    site.text("STOP")
    turned = site.configured(replace(SYNCED, sources=SYNCED.sources[::-1]))
    assert not turned.may_text("1")


def test_a_stop_from_a_number_that_nobody_has_stays_with_who_gets_it_and_loses_it_again(site: Site) -> None:
    assert site.text("STOP", number=HOME).patients == 0
    lists(site, "1", 0, HOME)
    assert not site.may_text("1")
    lists(site, "1", 1, CELL)
    assert not site.may_text("1")
    then(site)


def test_a_stop_of_somebody_else_does_not_stay_with_who_had_the_number_by_mistake(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP")
    lists(site, "2", 1, CELL, HOME)
    assert not site.may_text("2")
    lists(site, "2", 2, HOME)
    assert site.may_text("2")


def test_a_stop_from_a_former_number_binds_whom_it_bound_before(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP")
    lists(site, "1", 1, HOME)
    site.text("STOP", line=OTHER_LINE)
    assert not site.may_text("1", OTHER_LINE)


def test_everybody_who_shares_the_number_is_bound(site: Site) -> None:
    for patient in "12":
        lists(site, patient, 0, CELL)
    versions = [site.find(patient).version for patient in "12"]
    assert site.text("STOP").patients == 2
    assert [site.find(patient).version - version for patient, version in zip("12", versions, strict=True)] == [1, 1]
    for patient in "12":
        lists(site, patient, 1, HOME if patient == "1" else WORK)
    assert [site.may_text(patient) for patient in "12"] == [False, False]


def test_whom_a_start_frees_is_in_the_feed(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP")
    lists(site, "1", 1, HOME)
    seq = site.store.changes(site.enterprise, 0, 100)[-1].seq
    site.text("START")
    fed = site.store.changes(site.enterprise, seq, 9)
    assert [(one.patient_id, one.attributes) for one in fed] == [(site.find("1").id, ("sms_consent",))]


@pytest.mark.parametrize("line", [LINE, None])
def test_a_staff_opt_out_holds_for_numbers_that_come_later(site: Site, line: str | None) -> None:
    lists(site, "1", 0, CELL)
    by_hand(site, line)
    lists(site, "1", 1, HOME)
    assert not site.may_text("1")
    assert site.may_text("1", OTHER_LINE) is (line is not None)
    site.text("START", number=HOME)
    assert not site.may_text("1"), "a START undoes the patient's own word only"
    then(site)


def test_a_staff_opt_in_opens_what_was_recorded_for_numbers_of_before(site: Site) -> None:
    site.apply(says("1", 0))
    by_hand(site, None)
    site.store.settings.put(site.enterprise, {"staff_may_record_opt_in": True}, actor=Actor(Role.ENTERPRISE, "pat"), now=site.tick())
    lists(site, "1", 1, CELL)
    opened = {"line": None, "topic": None, "actor": STAFF, "reason": "asked"}
    site.store.record_sms_opt_in(site.enterprise, site.find("1").id, CELL, **opened, now=site.tick())
    assert site.may_text("1")
    then(site)


def test_a_stop_without_a_time_of_its_own_is_never_older_than_what_is_known(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("START", 9_000)
    slow = site.now - timedelta(hours=2)
    site.store.record_reply(site.enterprise, LINE, CELL, "STOP", None, slow)
    assert not site.may_text("1")


def test_a_stop_that_our_clock_takes_for_the_future_is_not_lost(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("START", 9_000)
    site.store.record_reply(site.enterprise, LINE, CELL, "STOP", at(9_100), at(3_000))
    assert not site.may_text("1")


def test_a_start_without_a_time_of_its_own_lifts_nothing_that_may_be_newer(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP", 9_000)
    site.store.record_reply(site.enterprise, LINE, CELL, "START", None, at(3_000))
    assert not site.may_text("1")


@pytest.mark.parametrize("words", [("START", "STOPALL"), ("STOPALL", "START"), ("START", "STOP"), ("STOP", "START")])
def test_start_and_a_stop_of_one_instant_are_a_stop(site: Site, words: tuple[str, str]) -> None:
    lists(site, "1", 0, CELL)
    for word in words:
        site.text(word, 5_000)
    lists(site, "1", 6_000, HOME)
    assert not site.may_text("1")


@pytest.mark.parametrize(("stopped", "survivor"), [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")])
def test_a_stop_survives_a_merge_and_its_undoing_gives_it_back(site: Site, stopped: str, survivor: str) -> None:
    lists(site, "1", 0, CELL)
    lists(site, "2", 0, HOME)
    site.text("STOP", number=CELL if stopped == "1" else HOME)
    lists(site, stopped, 1, WORK)
    merged = "2" if survivor == "1" else "1"
    site.apply(merges(survivor, merged))
    assert [site.may_text(patient) for patient in "12"] == [False, False]
    then(site)
    site.store.unmerge(site.enterprise, PatientRef(authority="GENHOSP", value=merged), actor=STAFF, reason="two people", now=site.tick())
    assert [site.may_text(patient) for patient in "12"] == [stopped != "1", stopped != "2"]
    then(site)


@pytest.mark.parametrize("number", [CELL, HOME, WORK])
def test_a_stop_while_two_were_one_goes_with_its_number_or_holds_for_both(site: Site, number: str) -> None:
    site.apply(says("1", 0, {"phones#PID-13": (cell(CELL),)}), says("2", 0, {"phones#PID-14": (cell(HOME),)}), merges("1", "2"))
    lists(site, "1", 200, *(() if number != WORK else (WORK,)))
    site.text("STOP", number=number)
    if number == WORK:
        lists(site, "1", 300)
    assert not site.may_text("1")
    site.store.unmerge(site.enterprise, PatientRef(authority="GENHOSP", value="2"), actor=STAFF, reason="two people", now=site.tick())
    bound = [bool(site.find(patient).opt_outs) for patient in "12"]
    assert bound == {CELL: [True, False], HOME: [False, True], WORK: [True, True]}[number]


def test_a_chain_of_merges_keeps_every_stop(site: Site) -> None:
    for patient, number in zip("123", (CELL, HOME, WORK), strict=True):
        lists(site, patient, int(patient), number)
    site.text("STOP")
    site.apply(merges("2", "1", 10), merges("3", "2", 20))
    assert not site.may_text("3")
    site.text("START")
    assert site.may_text("3")


def test_an_opt_out_from_a_topic_stays_too(site: Site) -> None:
    lists(site, "1", 0, CELL)
    by_hand(site, None, topic="billing")
    lists(site, "1", 1, HOME)
    assert [(one.topic, one.number) for one in site.find("1").opt_outs] == [("billing", CELL)]
    assert shown(site) == "Opted In"


def test_each_number_is_confirmed_once(site: Site) -> None:
    site.apply(says("1", 0, BOTH))
    assert [site.text("STOP", number=number).confirmation for number in (CELL, HOME)] == [OPT_OUT_CONFIRMED] * 2
    assert site.text("STOP").confirmation == "none"


def test_it_does_not_cross_enterprises(site: Site) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    lists(both, "1", 0, CELL)
    both.outcomes(says("1", 0, {"phones": (cell(CELL),)}), enterprise="other")
    both.text("STOP")
    refs = [PatientRef(authority="GENHOSP", value="1")]
    (other,) = Preferences(site.database, both.enterprises).known("other", refs, both.now)
    assert not isinstance(other, Exception)
    assert other.opt_outs == ()


@pytest.mark.parametrize("moved", [False, True], ids=["it is listed", "it was replaced"])
def test_a_reply_to_another_enterprise_is_nobodys_word_here(site: Site, moved: bool) -> None:
    """Also where nobody has the number there: the enterprise that was texted is asked whose it was, and no other."""
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    lists(both, "1", 0, CELL)
    sent = both.tick()
    both.text("STOP")
    if moved:
        lists(both, "1", 1, HOME)
    for word, when in (("STOP", sent), ("STOPALL", sent), ("START", None)):
        assert both.store.record_reply("other", LINE, CELL, word, when, both.tick()).patients == 0
    assert [both.may_text("1", line) for line in (LINE, OTHER_LINE)] == [False, True]


@pytest.mark.parametrize("merged", [False, True], ids=["replaced", "merged"])
def test_what_was_said_to_another_enterprise_stays_with_nobody_who_loses_the_number_here(site: Site, merged: bool) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    lists(both, "1", 0, CELL)
    lists(both, "2", 0, HOME)
    both.store.record_reply("other", LINE, CELL, "STOP", None, both.tick())
    if merged:
        both.apply(says("2", 2, {"phones": (cell(HOME),)}), merges("2", "1"))
    else:
        lists(both, "1", 1, HOME)
    assert both.may_text("1")


def test_nor_does_it_count_for_who_has_the_number_by_a_second_source_alone(site: Site) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    lists(both, "1", 0, CELL)
    lists(both, "1", 0, HOME, source=FHIR)
    both.store.record_reply("other", LINE, HOME, "STOP", None, both.tick())
    assert both.may_text("1")
    both.text("STOP", number=HOME)
    assert not both.may_text("1")


def test_a_stop_that_arrives_late_binds_whoever_had_the_number_when_it_was_sent(site: Site) -> None:
    lists(site, "1", 0, CELL)
    sent = site.tick()
    lists(site, "1", 1, HOME)
    reply = site.store.record_reply(site.enterprise, LINE, CELL, "STOP", sent, site.tick())
    assert (reply.patients, site.may_text("1")) == (1, False)
    then(site)


def test_it_binds_nobody_who_had_lost_the_number_by_then(site: Site) -> None:
    lists(site, "1", 0, CELL)
    lists(site, "1", 1, HOME)
    reply = site.store.record_reply(site.enterprise, LINE, CELL, "STOP", site.tick(), site.tick())
    assert (reply.patients, site.may_text("1")) == (0, True)


@pytest.mark.parametrize("survivor", ["1", "2"])
def test_it_binds_the_patient_whom_that_record_was_merged_into_and_is_the_records_own_again_when_they_part(
    site: Site, survivor: str
) -> None:
    lists(site, "1", 0, CELL)
    lists(site, "2", 0, HOME)
    sent, merged = site.tick(), "2" if survivor == "1" else "1"
    site.apply(says(survivor, 1, {"phones": (cell(HOME),)}), merges(survivor, merged))
    site.store.record_reply(site.enterprise, LINE, CELL, "STOP", sent, site.tick())
    assert not site.may_text(survivor)


def test_whoever_has_the_number_now_is_bound_beside_those_who_had_it(site: Site) -> None:
    lists(site, "1", 0, CELL)
    sent = site.tick()
    lists(site, "1", 1, HOME)
    lists(site, "2", 2, CELL)
    assert site.store.record_reply(site.enterprise, LINE, CELL, "STOP", sent, site.tick()).patients == 2
    assert [site.may_text(one) for one in "12"] == [False, False]
