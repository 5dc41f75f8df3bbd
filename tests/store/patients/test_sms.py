"""SMS consent: held per line and number, whoever has the number; a STOP is undone by the same person's START only."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from store.audit.audit_log import SMS_OPT_IN, Audit
from store.domain.decision import decide
from store.domain.decision_request import DecisionRequest
from store.domain.lock import Actor, Role
from store.domain.patient import Patient
from store.domain.policies import Policy
from store.domain.sms_consent import NO_CONFIRMATION, OPT_IN_CONFIRMED, OPT_OUT_CONFIRMED, STILL_OPTED_OUT, display
from store.errors import OptInOff, RoleRefused, ValueRefused
from tests.store.site import BY_LINE, CELL, HOME, LINE, OTHER_LINE, WORK, Site, at, cell, merges, says

PHONES = {"phones": (cell(CELL),)}


@pytest.fixture
def one(site: Site) -> Site:
    site.apply(says("1", 0, PHONES))
    return site


def by_hand(site: Site, line: str | None, role: str = Role.STAFF, topic: str | None = None) -> Patient:
    patient, actor = site.find("1").id, Actor(role, "sam")
    return site.store.record_sms_opt_out(site.enterprise, patient, line=line, topic=topic, actor=actor, now=site.tick(), reason="phoned us")


def may_text_about(site: Site, topic: str | None, line: str = LINE) -> bool:
    """Whether a broadcast about a topic may go out."""
    ask = DecisionRequest(message_type="broadcast", channels=("sms",), line=line, topic=topic)
    return decide(ask, site.known("1"), Policy(), site.now).channel == "sms"


SPELLINGS = ["STOP", "stop", " Stop! ", "STOP\n", "STOP\x00", "end.", "opt out", "Opt-Out", "Unsubscribe"]
WORDS = [*SPELLINGS, "STOPALL", "stop all", "CANCEL", "QUIT", "REVOKE", "OPTOUT"]


@pytest.mark.parametrize("word", WORDS)
def test_each_opt_out_word_stops_texts(one: Site, word: str) -> None:
    assert one.may_text("1")
    reply = one.text(word)
    assert (reply.kind, reply.confirmation, reply.patients) == ("opt_out", OPT_OUT_CONFIRMED, 1)
    assert not one.may_text("1")


@pytest.mark.parametrize("word", ["START", "unstop", "Yes"])
def test_each_opt_in_word_lifts_the_patients_own_stop(one: Site, word: str) -> None:
    one.text("STOP")
    assert one.text(word).confirmation == OPT_IN_CONFIRMED
    assert one.may_text("1")


@pytest.mark.parametrize("body", ["", "hello", "see you at the shop", "cancer", "no", "👍", "\x00"])
def test_anything_else_changes_nothing_and_leaves_no_trace(one: Site, body: str) -> None:
    before = one.find("1")
    reply = one.text(body)
    assert (reply.kind, reply.confirmation) == (None, NO_CONFIRMATION)
    assert one.find("1") == before
    assert one.may_text("1")


def test_a_stop_holds_for_its_line_and_stop_all_for_every_line(one: Site) -> None:
    one.text("STOP")
    assert (one.may_text("1"), one.may_text("1", OTHER_LINE)) == (False, True)
    one.text("STOPALL")
    assert (one.may_text("1"), one.may_text("1", OTHER_LINE), one.may_text("1", "55555")) == (False, False, False)


def test_a_sender_that_names_no_line_is_held_by_any_stop(one: Site) -> None:
    one.text("STOP", line=OTHER_LINE)
    assert not one.may_text("1", None)


def test_a_start_on_one_line_makes_an_exception_of_it_only(one: Site) -> None:
    one.text("STOPALL")
    one.text("START")
    assert (one.may_text("1"), one.may_text("1", OTHER_LINE)) == (True, False)
    one.text("STOPALL")
    assert not one.may_text("1")


def test_a_line_is_known_in_every_spelling(one: Site) -> None:
    one.text("STOP", line="+1 (217) 555-0190")
    assert not one.may_text("1", LINE)


def test_a_stop_touches_everybody_who_has_the_number(one: Site) -> None:
    one.apply(says("2", 0, PHONES), says("3", 0, {"phones": (cell(HOME),)}))
    versions = {value: one.find(value).version for value in "123"}
    seq = one.store.changes(one.enterprise, 0, 100)[-1].seq
    assert one.text("STOP").patients == 2
    assert [one.may_text(value) for value in "123"] == [False, False, True]
    assert [one.find(value).version - versions[value] for value in "123"] == [1, 1, 0]
    fed = one.store.changes(one.enterprise, seq, 100)
    assert {(change.patient_id, change.attributes) for change in fed} == {(one.find(value).id, ("sms_consent",)) for value in "12"}
    assert one.store.history(one.enterprise, one.find("2").id)[0].authority == "patient"


def test_a_repeated_stop_gets_no_second_confirmation(one: Site) -> None:
    one.text("STOP")
    assert one.text("STOP").confirmation == NO_CONFIRMATION
    assert not one.may_text("1")


def test_a_start_sent_before_the_stop_does_not_lift_it(one: Site) -> None:
    one.text("STOP", 100)
    one.text("START", 99)
    assert not one.may_text("1")


def test_a_stop_sent_before_the_start_is_history(one: Site) -> None:
    one.text("START", 100)
    one.text("STOP", 99)
    assert one.may_text("1")


def test_of_words_of_one_instant_the_stop_counts(one: Site) -> None:
    for word in ("STOP", "START", "STOP", "START"):
        one.text(word, 100)
    assert not one.may_text("1")


def test_a_stop_dated_in_the_future_can_still_be_lifted(one: Site) -> None:
    one.text("STOP", 90_000)
    one.text("START")
    assert one.may_text("1")


def test_a_start_dated_in_the_future_does_not_outlast_a_stop(one: Site) -> None:
    one.text("START", 90_000)
    one.text("STOP")
    assert not one.may_text("1")


@pytest.mark.parametrize("line", [LINE, None])
def test_an_opt_out_by_staff_is_not_undone_by_a_start(one: Site, line: str | None) -> None:
    assert display(one.find("1").contact, by_hand(one, line).opt_outs) == "Opted Out of 1 number"
    assert one.text("START").confirmation == STILL_OPTED_OUT
    assert not one.may_text("1")
    assert one.may_text("1", OTHER_LINE) is (line is not None)


def test_an_opt_out_by_staff_covers_all_numbers_and_names_the_person(one: Site) -> None:
    one.apply(says("1", 1, {"phones": (cell(CELL), cell(HOME))}))
    patient = by_hand(one, None)
    assert {(opt_out.number, opt_out.authority) for opt_out in patient.opt_outs} == {(CELL, "staff"), (HOME, "staff")}
    entry = one.store.history(one.enterprise, patient.id)[0]
    assert (entry.actor, entry.reason) == ("staff:sam", "phoned us")


@pytest.mark.parametrize("role", [Role.SENDER, Role.MANAGER, Role.OPERATOR, Role.AUDITOR])
def test_other_roles_record_no_opt_out(one: Site, role: str) -> None:
    with pytest.raises(RoleRefused):
        by_hand(one, None, role)
    assert one.may_text("1")


@pytest.mark.parametrize("line", [LINE, None])
def test_an_opt_out_by_staff_for_a_patient_without_numbers_holds_for_those_that_come(site: Site, line: str | None) -> None:
    site.apply(says("1", 0))
    patient = by_hand(site, line)
    assert [(one.number, one.line, one.authority) for one in patient.opt_outs] == [("", line, "staff")]
    assert display(patient.contact, patient.opt_outs) == "Opted Out of 0 numbers"
    site.apply(says("1", 1, {"phones": (cell(CELL),)}))
    assert not site.may_text("1")
    assert site.may_text("1", OTHER_LINE) is (line is not None)


def test_an_opt_out_stays_with_a_number_that_moves_to_another_patient(one: Site) -> None:
    one.text("STOP")
    one.apply(says("1", 1, {"phones": (cell(HOME),)}), says("2", 1, PHONES))
    assert (one.may_text("1"), one.may_text("2")) == (False, False)
    assert one.text("START").patients == 1
    assert (one.may_text("1"), one.may_text("2")) == (False, True), "the new owner does not speak for the one before"


def test_a_stop_from_a_number_nobody_has_counts_when_somebody_gets_it(site: Site) -> None:
    assert site.text("STOP", number=WORK).patients == 0
    site.apply(says("1", 0, {"phones": (cell(WORK),)}))
    assert not site.may_text("1")


def test_an_emr_that_grants_texting_does_not_undo_a_stop(one: Site) -> None:
    one.text("STOP")
    one.apply(says("1", 20_000, {**PHONES, "consent.sms": "granted", f"consent.sms#{CELL}": "granted"}))
    assert not one.may_text("1")


def test_a_stop_counts_whether_or_not_preferences_are_synced(local: Site) -> None:
    local.apply(says("1", 0, PHONES))
    local.text("STOP")
    assert not local.may_text("1")


@pytest.mark.parametrize("number", ["", "+", "+1 217 555 0101", "tel:+12175550101", "+\uff11\uff12175550101", "+1²"])
def test_a_reply_from_what_is_no_number_is_refused_not_lost(site: Site, number: str) -> None:
    with pytest.raises(ValueRefused, match=r"E\.164") as caught:
        site.store.record_reply(site.enterprise, LINE, number, "STOP", at(0), at(0))
    assert not number or number not in str(caught.value).replace("+12175550100", "")


def test_a_stop_does_not_cross_enterprises(one: Site) -> None:
    other = Site(one.database, type(one.enterprises[one.enterprise])("other", syncs=True))
    other.apply(says("1", 0, PHONES))
    one.text("STOP")
    assert other.may_text("1")


@pytest.mark.parametrize("line", [LINE, None])
def test_an_opt_out_from_one_topic_holds_for_that_topic(one: Site, line: str | None) -> None:
    patient = by_hand(one, line, topic="billing")
    assert [(opt_out.scope, opt_out.topic, opt_out.line) for opt_out in patient.opt_outs] == [("topic", "billing", line)]
    assert display(patient.contact, patient.opt_outs) == "Opted In"
    assert (may_text_about(one, "billing"), may_text_about(one, "recalls")) == (False, True)
    assert may_text_about(one, None) is False, "a text that names no topic may be about any"
    assert may_text_about(one, "billing", OTHER_LINE) is (line is not None)


def test_topics_are_opted_out_of_one_by_one_and_beside_everything(one: Site) -> None:
    by_hand(one, None, topic="billing")
    by_hand(one, None, topic="recalls")
    by_hand(one, None, topic="billing")
    assert {opt_out.topic for opt_out in one.find("1").opt_outs} == {"billing", "recalls"}
    by_hand(one, None)
    assert not may_text_about(one, "appointments")
    one.text("START")
    assert not may_text_about(one, "appointments")


def allowing(one: Site) -> Site:
    """The same clinic, where staff may opt patients in."""
    return one.configured(replace(one.enterprises[one.enterprise], policy=replace(BY_LINE, staff_may_record_opt_in=True)))


def opted_in_by_hand(
    site: Site, line: str | None = LINE, *, number: str = CELL, role: str = Role.STAFF, topic: str | None = None, patient: str = "1"
) -> Patient:
    who, actor = site.find(patient).id, Actor(role, "sam")
    return site.store.record_sms_opt_in(
        site.enterprise, who, number, line=line, topic=topic, actor=actor, now=site.tick(), reason="asked at the desk"
    )


def test_nobody_opts_a_patient_in_unless_the_policy_allows_it(one: Site) -> None:
    one.text("STOP")
    before = one.find("1")
    with pytest.raises(OptInOff, match="staff_may_record_opt_in is off"):
        opted_in_by_hand(one)
    assert one.find("1") == before
    assert not one.may_text("1")


def test_with_the_policy_an_opt_in_by_hand_lifts_the_patients_own_stop(one: Site) -> None:
    site = allowing(one)
    site.text("STOP")
    patient = opted_in_by_hand(site)
    assert site.may_text("1")
    assert display(patient.contact, patient.opt_outs) == "Opted In"
    entry = site.store.history(site.enterprise, patient.id)[0]
    assert (entry.authority, entry.actor, entry.reason, entry.after["kind"]) == ("staff", "staff:sam", "asked at the desk", "opt_in")
    assert (entry.before["state"], entry.after["state"]) == ("opted_out", "opted_in")
    (line,) = (link.line for link in Audit(site.database).newest(site.enterprise) if link.line.action == SMS_OPT_IN)
    assert (line.actor, line.subject, '"reason":"asked at the desk"' in line.detail) == ("staff:sam", patient.id, True)


def test_the_setting_that_people_change_here_counts(one: Site) -> None:
    one.store.settings.put(one.enterprise, {"staff_may_record_opt_in": True}, actor=Actor(Role.ENTERPRISE, "pat"), now=one.tick())
    one.text("STOP")
    opted_in_by_hand(one)
    assert one.may_text("1")
    one.store.settings.put(one.enterprise, {"staff_may_record_opt_in": False}, actor=Actor(Role.ENTERPRISE, "pat"), now=one.tick())
    with pytest.raises(OptInOff):
        opted_in_by_hand(one)


@pytest.mark.parametrize("role", [Role.SENDER, Role.MANAGER, Role.OPERATOR, Role.AUDITOR])
def test_other_roles_record_no_opt_in_whatever_the_policy(one: Site, role: str) -> None:
    site = allowing(one)
    site.text("STOP")
    with pytest.raises(RoleRefused):
        opted_in_by_hand(site, role=role)
    assert not site.may_text("1")


def test_an_opt_in_by_hand_opens_its_line_only_and_one_for_all_lines_opens_each(one: Site) -> None:
    site = allowing(one)
    for line in (LINE, OTHER_LINE):
        site.text("STOP", line=line)
    opted_in_by_hand(site, LINE)
    assert (site.may_text("1", LINE), site.may_text("1", OTHER_LINE)) == (True, False)
    site.text("STOPALL")
    opted_in_by_hand(site, OTHER_LINE)
    assert (site.may_text("1", LINE), site.may_text("1", OTHER_LINE)) == (False, True)
    opted_in_by_hand(site, None)
    assert (site.may_text("1", LINE), site.may_text("1", OTHER_LINE), site.may_text("1", None)) == (True, True, True)


def test_what_is_said_after_an_opt_in_by_hand_stops_texts_again(one: Site) -> None:
    site = allowing(one)
    by_hand(site, LINE)
    opted_in_by_hand(site, None)
    assert site.may_text("1")
    by_hand(site, LINE)
    assert not site.may_text("1"), "the same opt-out, recorded again"
    opted_in_by_hand(site, None)
    site.text("STOP")
    assert not site.may_text("1")


def test_a_stop_that_was_sent_before_an_opt_in_by_hand_and_arrives_after_it_is_history(one: Site) -> None:
    site = allowing(one)
    opted_in_by_hand(site, None)
    sent = (site.now - at(0)).total_seconds()
    site.text("STOP", sent - 5)
    assert site.may_text("1")
    site.text("STOP", sent + 0.5)
    assert not site.may_text("1")


def test_an_opt_out_from_all_lines_recorded_again_closes_the_exception(one: Site) -> None:
    site = allowing(one)
    by_hand(site, None)
    opted_in_by_hand(site, LINE)
    assert (site.may_text("1"), site.may_text("1", OTHER_LINE)) == (True, False)
    by_hand(site, None)
    assert not site.may_text("1")


def test_an_opt_in_by_hand_is_about_its_topic(one: Site) -> None:
    site = allowing(one)
    by_hand(site, None, topic="billing")
    opted_in_by_hand(site, None)
    assert (may_text_about(site, "billing"), may_text_about(site, "recalls")) == (False, True), "a single topic is named to be opened"
    opted_in_by_hand(site, None, topic="billing")
    assert may_text_about(site, "billing")
    by_hand(site, None)
    opted_in_by_hand(site, None, topic="billing")
    assert not may_text_about(site, "billing"), "one topic does not open everything"


def test_an_opt_in_by_hand_does_not_undo_what_the_emr_denies(one: Site) -> None:
    site = allowing(one)
    site.apply(says("1", 1, {**PHONES, "consent.sms": "denied"}))
    opted_in_by_hand(site, None)
    assert not site.may_text("1")


def test_a_number_that_several_patients_have_is_not_opted_in_for_one_of_them(one: Site) -> None:
    site = allowing(one)
    site.apply(says("2", 0, PHONES))
    site.text("STOP")
    with pytest.raises(ValueRefused, match="several patients have this number"):
        opted_in_by_hand(site, patient="2")
    assert [site.may_text(patient) for patient in "12"] == [False, False]


def test_an_opt_in_by_hand_is_for_one_number_of_the_patient(one: Site) -> None:
    site = allowing(one)
    site.apply(says("1", 1, {"phones": (cell(CELL), cell(HOME))}))
    by_hand(site, LINE)
    opted_in_by_hand(site, LINE, number=HOME)
    assert {one.number for one in site.find("1").opt_outs} == {CELL}
    with pytest.raises(ValueRefused, match="one of the patient's phones"):
        opted_in_by_hand(site, LINE, number=WORK)


def test_an_opt_in_by_hand_withdraws_the_opt_out_that_a_merge_kept(one: Site) -> None:
    site = allowing(one)
    site.apply(says("2", 0, {"phones": (cell(HOME),)}))
    site.text("STOP", number=HOME)
    site.apply(merges("1", "2"))
    assert not site.may_text("1")
    opted_in_by_hand(site, None)
    assert site.may_text("1")


FROM = date(2026, 11, 3)  # one day after the tests' own


def revoking(one: Site, **more: Any) -> Site:
    return one.configured(replace(one.enterprises[one.enterprise], policy=replace(BY_LINE, revocation_scope_until=FROM), **more))


def test_by_the_scope_line_a_stop_holds_for_its_line_only(one: Site) -> None:
    one.now += timedelta(days=400)
    one.text("STOP")
    assert one.may_text("1", OTHER_LINE)


def test_after_the_last_day_of_the_scope_line_a_stop_holds_for_every_line(one: Site) -> None:
    site = revoking(one)
    assert site.text("STOP").scope == "line"
    assert site.may_text("1", OTHER_LINE), "the day has not come"
    site.now += timedelta(days=1)
    assert site.text("STOP").scope == "all_lines"
    assert not site.may_text("1", OTHER_LINE)
    site.text("START")
    assert (site.may_text("1"), site.may_text("1", OTHER_LINE)) == (True, False), "a START opens its own line only"


def test_the_day_begins_at_midnight_where_the_enterprise_is(one: Site) -> None:
    site = revoking(one, time_zone="America/Chicago")
    site.now = datetime(2026, 11, 3, 5, 59, 0, tzinfo=UTC)
    assert site.text("STOP").scope == "line"
    site.now = datetime(2026, 11, 3, 6, 0, 0, tzinfo=UTC)
    assert site.text("STOP").scope == "all_lines"


def test_what_was_said_before_the_day_keeps_its_scope(one: Site) -> None:
    one.text("STOP")
    site = revoking(one)
    site.now += timedelta(days=400)
    assert site.may_text("1", OTHER_LINE)
    assert not site.may_text("1")


@pytest.mark.parametrize("ahead", [None, 3_600])
def test_a_start_whose_time_cannot_be_used_outdates_no_stop_that_may_be_newer(one: Site, ahead: int | None) -> None:
    one.text("STOP", 100)
    now = one.tick()
    received = None if ahead is None else now + timedelta(seconds=ahead)
    one.store.record_reply(one.enterprise, LINE, CELL, "START", received, now)
    assert one.may_text("1"), "it was heard of after the STOP"
    one.store.record_reply(one.enterprise, LINE, CELL, "STOP", now - timedelta(seconds=4), one.tick())
    assert not one.may_text("1")
    one.store.record_reply(one.enterprise, LINE, CELL, "START", one.now, one.tick())
    assert one.may_text("1")
