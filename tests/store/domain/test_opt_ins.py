"""What an opt-in lifts, and what it leaves: at the same instant, for one topic, and beside a STOP that a merge kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.domain.decision import decide
from store.domain.decision_request import DecisionRequest
from store.domain.ids import parsed
from store.domain.lock import Actor, Role
from store.domain.policies import Policy
from store.patients.apply import Application
from store.patients.patient_batch import Author
from store.preference import PATIENT, PatientStatements, Statement
from store.times import at as moment
from tests.store.site import CELL, HOME, LINE, OTHER_LINE, SYNCED, Site, cell, merges, says

STAFF = Actor(Role.STAFF, "sam")
ONE = {"phones": (cell(CELL),)}


@pytest.fixture
def desk(site: Site) -> Site:
    """A clinic where staff may opt patients in; one patient with one number."""
    found = site.configured(replace(SYNCED, policy=Policy(staff_may_record_opt_in=True)))
    found.apply(says("1", 0, ONE))
    return found


def opted_out(site: Site, line: str | None = LINE, topic: str | None = None) -> None:
    who = site.find("1").id
    site.store.record_sms_opt_out(site.enterprise, who, line=line, topic=topic, actor=STAFF, now=site.now, reason="phoned")


def opted_in(site: Site, line: str | None = LINE, topic: str | None = None) -> None:
    who = site.find("1").id
    site.store.record_sms_opt_in(site.enterprise, who, CELL, line=line, topic=topic, actor=STAFF, now=site.now, reason="asked")


def may_text_about(site: Site, topic: str | None, line: str = LINE) -> bool:
    asked = DecisionRequest(message_type="broadcast", channels=("sms",), line=line, topic=topic)
    return decide(asked, site.known("1"), Policy(), site.now).channel == "sms"


def texts(site: Site) -> list[bool]:
    """Whether texts may go out by the first line, by another one, and by one that is not named."""
    return [site.may_text("1", line) for line in (LINE, OTHER_LINE, None)]


@pytest.mark.parametrize("order", [("STOPALL", "START"), ("START", "STOPALL"), ("START", "STOPALL", "START"), ("STOPALL", "START") * 2])
@pytest.mark.parametrize("listed", ["before", "since"])
def test_of_a_start_and_a_stop_all_of_one_instant_the_stop_all_counts(site: Site, order: tuple[str, ...], listed: str) -> None:
    site.apply(says("1", 0, ONE if listed == "before" else {}))
    for body in order:
        site.text(body, 100)
    site.apply(says("1", 1, ONE))
    assert texts(site) == [False, False, False]
    site.apply(says("1", 2, {"phones": (cell(HOME),)}))
    assert texts(site) == [False, False, False], "it binds the patient too"
    site.text("START", 101)
    assert texts(site) == [True, False, False]


@pytest.mark.parametrize("line", [LINE, None])
def test_of_an_opt_in_by_hand_and_a_stop_of_one_instant_the_stop_counts(desk: Site, line: str | None) -> None:
    now = desk.now
    desk.store.record_reply(desk.enterprise, LINE, CELL, "STOP", now, now)
    opted_in(desk, line)
    assert not desk.may_text("1")
    desk.store.record_reply(desk.enterprise, LINE, CELL, "STOPALL", now, now)
    opted_in(desk, line)
    assert texts(desk) == [False, False, False]


@pytest.mark.parametrize("opt_out", [LINE, None])
@pytest.mark.parametrize("line", [LINE, None])
def test_of_an_opt_in_and_an_opt_out_by_hand_of_one_instant_the_opt_out_counts(desk: Site, opt_out: str | None, line: str | None) -> None:
    opted_in(desk, line)
    opted_out(desk, opt_out)
    opted_in(desk, line)
    assert not desk.may_text("1")


@pytest.mark.parametrize("body", ["STOP", "STOPALL"])
@pytest.mark.parametrize("line", [LINE, None])
def test_an_opt_in_for_a_topic_leaves_a_stop_of_everything(desk: Site, body: str, line: str | None) -> None:
    desk.text(body)
    desk.tick()
    opted_in(desk, line, "billing")
    assert [may_text_about(desk, topic) for topic in ("billing", "recalls", None)] == [False, False, False]


@pytest.mark.parametrize("line", [LINE, None])
def test_an_opt_in_for_a_topic_lifts_that_topic_only(desk: Site, line: str | None) -> None:
    for topic in ("billing", "recalls"):
        opted_out(desk, line, topic)
    desk.tick()
    opted_in(desk, line, "billing")
    assert [may_text_about(desk, topic) for topic in ("billing", "recalls", None)] == [True, False, False]


@pytest.mark.parametrize("line", [LINE, None])
def test_an_opt_in_for_a_topic_leaves_a_stop_that_a_merge_brought(desk: Site, line: str | None) -> None:
    """The number of the merged record is on file no more, so an opt-in by hand for another number could open it."""
    desk.apply(says("2", 0, {"phones": (cell(HOME),)}))
    desk.text("STOPALL", number=HOME)
    desk.apply(merges("1", "2"), says("1", 20_000, ONE))
    desk.tick()
    opted_in(desk, line, "billing")
    assert [may_text_about(desk, topic) for topic in ("billing", "recalls", None)] == [False, False, False]
    desk.tick()
    opted_in(desk, None)
    assert [may_text_about(desk, topic) for topic in ("billing", "recalls", None)] == [True, True, True]


@pytest.mark.parametrize("line", [LINE, None])
def test_an_opt_in_for_a_topic_leaves_a_denial_that_an_earlier_version_kept_at_a_merge(desk: Site, line: str | None) -> None:
    _kept_by_an_earlier_version(desk)
    assert not may_text_about(desk, "billing")
    desk.tick()
    opted_in(desk, line, "billing")
    assert [may_text_about(desk, topic) for topic in ("billing", "recalls", None)] == [False, False, False]
    assert desk.value("1", "consent.sms") == "denied"
    desk.tick()
    opted_in(desk, line)
    assert may_text_about(desk, "billing")


def _kept_by_an_earlier_version(site: Site) -> None:
    """What a merge of before November 2026 wrote: a denial of the patient, beside the words about numbers."""
    patient = parsed(site.find("1").id) or 0
    said = {"consent.sms": Statement("denied", "merge")}
    with site.database.write(site.enterprise) as transaction:
        work = Application(site.database, transaction, site.enterprises[site.enterprise], Author(PATIENT, site.tick()), site.store.ids)
        opened = work.resume([patient])[patient]
        work.receive(opened, PatientStatements((), said, moment(site.now), "merge"), "")
        work.finish()
