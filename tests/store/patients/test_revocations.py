"""Opt-outs keep the class of the message that they answered: in the store, its history, its report and its hash chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.audit.checkpoints import SMS, Attesting
from store.audit.verify import verify
from store.domain.lock import Actor, Role
from store.domain.message_class import INFORMATIONAL, MARKETING, MessageClass
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.domain.sms_consent import REVIEW
from store.errors import ValueRefused, VersionConflict
from store.patients.opt_out_report import opted_out
from tests.store.site import CELL, HOME, LINE, OTHER_LINE, Site, cell, merges, says

RECALL = MessageClass("automation", "recall", INFORMATIONAL)
SAM = Actor(Role.STAFF, "sam")


@pytest.fixture
def by_category(site: Site) -> Site:
    found = site.configured(replace(site.enterprises[site.enterprise], policy=Policy(revocation_scope="category")))
    found.apply(says("1", 0, {"phones": (cell(),)}))
    return found


def reply(site: Site, body: str, answered: MessageClass = RECALL, line: str = LINE, number: str = CELL) -> None:
    now = site.tick()
    site.store.record_reply(site.enterprise, line, number, body, now, now, answered)


def texted(site: Site, topic: str | None, category: str | None, line: str = OTHER_LINE, patient: str = "1") -> bool:
    return site.decision(patient, line=line, topic=topic, category=category).channel == "sms"


def test_a_stop_ends_its_category_and_keeps_what_it_answered(by_category: Site) -> None:
    reply(by_category, "STOP")
    assert not texted(by_category, "recall", INFORMATIONAL)
    assert texted(by_category, "billing", INFORMATIONAL)
    assert texted(by_category, None, MARKETING)
    assert not texted(by_category, None, None)
    (kept,) = opted_out(by_category.database, by_category.enterprise)
    assert (kept.scope, kept.topic, kept.in_reply_to) == ("category", "recall", RECALL)
    written = by_category.store.as_of(by_category.enterprise, PatientRef(authority="GENHOSP", value="1"), by_category.now)
    assert written.opt_outs == by_category.find("1").opt_outs


def test_it_stays_when_the_number_is_replaced_and_through_a_merge(by_category: Site) -> None:
    reply(by_category, "STOP")
    by_category.apply(says("1", 1, {"phones": (cell(HOME),)}), says("2", 2, {"phones": (cell("+12175550177"),)}))
    by_category.apply(merges("2", "1", 3))
    assert not texted(by_category, "recall", INFORMATIONAL, patient="2")
    assert texted(by_category, "billing", INFORMATIONAL, patient="2")


def test_start_ends_it_also_for_a_replaced_number(by_category: Site) -> None:
    reply(by_category, "STOP")
    by_category.apply(says("1", 1, {"phones": (cell(HOME),)}))
    reply(by_category, "START", number=HOME)
    assert texted(by_category, "recall", INFORMATIONAL, line=LINE)
    assert not texted(by_category, "recall", INFORMATIONAL, line=OTHER_LINE)


def test_what_it_answered_is_attested(by_category: Site) -> None:
    reply(by_category, "STOP")
    reply(by_category, "STOP", MessageClass())
    Attesting(by_category.database, SMS).run([by_category.enterprise], by_category.tick())
    assert all(one.broken_at is None for one in verify(by_category.database))


def test_an_unclear_reply_suspends_all_lines_until_each_is_decided(by_category: Site) -> None:
    reply(by_category, "stop by at noon")
    reply(by_category, "I'll stop by later", line=OTHER_LINE)
    first, second = by_category.store.replies.some(by_category.enterprise)
    decide(by_category, first.id, "dismiss")
    assert not texted(by_category, "billing", INFORMATIONAL)
    decide(by_category, second.id, "dismiss")
    assert texted(by_category, "billing", INFORMATIONAL)


def decide(site: Site, reply_id: str, decision: str) -> None:
    site.store.decide_reply(site.enterprise, reply_id, decision, actor=SAM, reason="asked", now=site.tick())


def test_a_bare_cancel_opts_out_and_waits_for_staff(by_category: Site) -> None:
    reply(by_category, "CANCEL", MessageClass())
    (waits,) = by_category.store.replies.some(by_category.enterprise, "appointment")
    assert REVIEW not in by_category.store.replies.waiting(by_category.enterprise), "it is no unclear reply"
    for decision in ("dismiss", "opt_out"):
        with pytest.raises(ValueRefused):
            decide(by_category, waits.id, decision)
    decide(by_category, waits.id, "handled")
    assert not texted(by_category, "billing", INFORMATIONAL), "handling it lifts nothing"
    with pytest.raises(VersionConflict):
        decide(by_category, waits.id, "handled")
