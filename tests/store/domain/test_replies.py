"""Unclear replies: texts are suspended until a person decides, and what the patient wrote is kept sealed."""

from __future__ import annotations

import pytest

from store.audit.audit_log import DECIDED_REPLY, Audit
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.domain.sms_consent import display
from store.errors import ReplyUnknown, RoleRefused, ValueRefused, VersionConflict
from store.patients.preferences import Preferences
from store.patients.replies import KeptReply
from tests.factories import sealing
from tests.store.site import CELL, HOME, LINE, OTHER_LINE, SYNCED, Site, cell, merges, says

UNCLEAR = "please cancel my order"
STAFF = Actor(Role.STAFF, "sam")


@pytest.fixture
def one(site: Site) -> Site:
    site.store = Preferences(site.database, site.enterprises, sealing=sealing())
    site.apply(says("1", 0, {"phones": (cell(CELL),)}))
    return site


def waiting(site: Site) -> list[KeptReply]:
    return site.store.replies.some(site.enterprise)


def decide(site: Site, decision: str, reply: KeptReply | None = None, actor: Actor = STAFF) -> KeptReply:
    number = (reply or waiting(site)[0]).id
    return site.store.decide_reply(site.enterprise, number, decision, actor=actor, reason="asked", now=site.tick())


def then(site: Site) -> None:
    found = site.find("1")
    assert site.store.as_of(site.enterprise, PatientRef(id=found.id), site.now).opt_outs == found.opt_outs


def test_an_unclear_reply_suspends_the_line_and_waits(one: Site) -> None:
    version = one.find("1").version
    reply = one.text(UNCLEAR)
    assert (reply.kind, reply.scope, reply.confirmation, reply.patients) == ("review", "line", "none", 1)
    assert (one.may_text("1"), one.may_text("1", OTHER_LINE), one.may_text("1", None)) == (False, True, False)
    patient = one.find("1")
    assert (patient.version, display(patient.contact, patient.opt_outs)) == (version + 1, "Opted Out of 1 number")
    (kept,) = waiting(one)
    assert (kept.number, kept.line, kept.body, kept.patients, kept.state) == (CELL, LINE, UNCLEAR, (patient.id,), "review")
    then(one)


def test_it_binds_like_a_stop(one: Site) -> None:
    one.text(UNCLEAR)
    one.apply(says("1", 1, {"phones": (cell(HOME),)}))
    assert not one.may_text("1")
    decide(one, "dismiss")
    assert one.may_text("1")
    then(one)


@pytest.mark.parametrize("moved", [False, True])
def test_an_opt_out_by_decision_is_the_patients_word_of_then(one: Site, moved: bool) -> None:
    one.text(UNCLEAR, 500)
    if moved:
        one.apply(says("1", 1, {"phones": (cell(HOME),)}))
    decided = decide(one, "opt_out")
    assert (decided.state, decided.actor, decided.reason) == ("opt_out", "staff:sam", "asked")
    (stands,) = one.find("1").opt_outs
    assert (stands.authority, stands.line, stands.at, one.may_text("1")) == ("patient", LINE, decided.received, False)
    then(one)
    one.text("START")
    assert one.may_text("1")


def test_a_decision_comes_after_a_newer_start(one: Site) -> None:
    one.text(UNCLEAR)
    one.text("START")
    assert one.may_text("1"), "the patient has answered it"
    then(one)
    decide(one, "opt_out")
    assert one.may_text("1"), "the START is newer than the reply"


def test_dismissing_says_nothing_about_what_was_said_clearly(one: Site) -> None:
    one.text("STOP")
    one.text(UNCLEAR)
    decide(one, "dismiss")
    assert [stands.authority for stands in one.find("1").opt_outs] == ["patient"]
    assert not one.may_text("1")


def test_texts_wait_until_every_reply_is_decided(one: Site) -> None:
    one.text(UNCLEAR)
    one.text("wrong number")
    first, second = waiting(one)
    decide(one, "dismiss", first)
    assert not one.may_text("1")
    decide(one, "dismiss", second)
    assert one.may_text("1")
    one.text("stop by")
    assert not one.may_text("1")


def test_the_same_reply_again_waits_once_and_not_again(one: Site) -> None:
    for _ in range(2):
        one.text(UNCLEAR, 500)
    assert len(waiting(one)) == 1
    decide(one, "dismiss")
    one.text(UNCLEAR, 500)
    assert (waiting(one), one.may_text("1")) == ([], True)


def test_nobody_decides_twice_and_not_everybody_decides(one: Site) -> None:
    one.text(UNCLEAR)
    for role in (Role.SENDER, Role.MANAGER, Role.OPERATOR, Role.AUDITOR):
        with pytest.raises(RoleRefused):
            decide(one, "dismiss", actor=Actor(role, "x"))
    with pytest.raises(ValueRefused):
        decide(one, "maybe")
    decided = decide(one, "dismiss")
    with pytest.raises(VersionConflict):
        decide(one, "opt_out", decided)
    with pytest.raises(ReplyUnknown):
        one.store.decide_reply(one.enterprise, "rep_0", "dismiss", actor=STAFF, reason="", now=one.tick())
    (line,) = (link.line for link in Audit(one.database).newest(one.enterprise) if link.line.action == DECIDED_REPLY)
    assert (line.actor, line.subject, CELL in line.detail) == ("staff:sam", decided.id, False)


def test_what_a_patient_wrote_is_sealed_and_is_in_no_event(one: Site) -> None:
    one.text(f"{UNCLEAR} I live at 1 Elm Street")
    one.text("stop texting me, I live at 1 Elm Street")
    with one.database.read() as connection:
        rows = one.database.select(connection, "SELECT body FROM sms_replies", [])
        words = [word for (word,) in one.database.select(connection, "SELECT word FROM sms_consent_events ORDER BY seq", [])]
    assert all(b"Elm" not in bytes(body) for (body,) in rows)
    assert words == ["cancel", "stop texting"]


def test_without_a_key_the_text_is_not_kept_and_the_reply_still_waits(site: Site) -> None:
    site.apply(says("1", 0, {"phones": (cell(CELL),)}))
    site.text(UNCLEAR)
    assert [kept.body for kept in waiting(site)] == [None]
    assert not site.may_text("1")


def test_a_merge_keeps_what_waits(one: Site) -> None:
    one.apply(says("2", 5, {"phones": (cell(HOME),)}))
    one.text(UNCLEAR)
    one.apply(merges("2", "1"))
    assert not one.may_text("2")
    decide(one, "dismiss")
    assert one.may_text("2")


def test_the_same_reply_to_two_enterprises_waits_in_each_and_is_decided_in_each(site: Site) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    both.store = Preferences(site.database, both.enterprises, sealing=sealing())
    both.apply(says("1", 0, {"phones": (cell(CELL),)}))
    both.outcomes(says("1", 0, {"phones": (cell(CELL),)}), enterprise="other")
    sent = both.tick()
    for name in both.enterprises:
        both.store.record_reply(name, LINE, CELL, UNCLEAR, sent, both.tick())
    other = {one.id for one in both.store.replies.some("other")}
    assert (len(other), len(waiting(both)), [len(one.patients) for one in waiting(both)]) == (1, 1, [1])
    decide(both, "dismiss")
    assert (both.may_text("1"), waiting(both)) == (True, [])
    assert {one.id for one in both.store.replies.some("other")} == other
    with pytest.raises(ReplyUnknown):
        both.store.decide_reply(both.enterprise, other.pop(), "dismiss", actor=STAFF, reason="", now=both.tick())
