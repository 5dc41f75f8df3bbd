"""A preference that newer evidence spoke about and that could not be read: refused until readable evidence settles it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from store.domain.decision import Decision, decide
from store.domain.decision_request import DecisionRequest
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.holds.retire_source import Release
from store.preference import PatientStatements, Problem
from store.runs.runs import Journal
from store.times import Time
from tests.store.site import ADT, CELL, FHIR, LOCAL, Site, at, cell, merges, says

PERSON = Actor("cli", "kim")
RECEIVED = at(8)
REASON = "preference_unreadable"
REFUSE = Policy()
OK, DNC = {"do_not_contact": "no", "phones": (cell(),)}, {"do_not_contact": "yes"}


def unread(
    seconds: float, attribute: str = "do_not_contact", stated: Mapping[str, Any] | None = None, evidence: str = "U"
) -> PatientStatements:
    item = says("1", seconds, stated if stated is not None else {"phones": (cell(),)}, evidence=evidence)
    return replace(item, problems=(Problem("code_unmapped", "ZCP-2", "", attribute),))


def asked(site: Site, kind: str = "automation", channels: tuple[str, ...] = ("sms", "voice"), policy: Policy = REFUSE) -> Decision:
    return decide(DecisionRequest(message_type=kind, channels=channels), site.known("1"), policy, site.tick())


def sends(site: Site, **rest: Any) -> bool:
    return asked(site, **rest).decision == "send"


def test_a_code_that_cannot_be_read_refuses_and_the_rest_is_applied(site: Site) -> None:
    site.apply(says("1", 0, OK))
    assert sends(site)
    site.apply(unread(5, stated={"language": "es"}))
    assert asked(site).reasons == (REASON,)
    assert (site.value("1", "language"), site.dnc("1")) == ("es", "no")
    (mark,) = site.find("1").unreadable
    assert (mark.attribute, mark.source, mark.reason) == ("do_not_contact", ADT, "code_unmapped")


def test_a_payload_that_only_makes_a_patient_unreadable_is_applied_once(site: Site) -> None:
    site.apply(says("1", 0, OK))
    version = site.find("1").version
    assert site.apply(unread(5, evidence="A")) == ["applied"]
    assert site.apply(unread(5, evidence="A")) == ["unchanged"]
    assert site.find("1").version == version + 1


def test_it_refuses_before_anything_was_known(site: Site) -> None:
    site.apply(unread(5))
    assert asked(site).reasons == (REASON,)


@pytest.mark.parametrize(("seconds", "settled"), [(4, False), (5, False), (6, True)])
def test_only_evidence_that_is_newer_settles_it(site: Site, seconds: float, settled: bool) -> None:
    site.apply(says("1", 0, OK), unread(5))
    site.apply(says("1", seconds, OK, evidence="later"))
    assert sends(site) is settled
    assert bool(site.find("1").unreadable) is not settled


def test_evidence_that_says_nothing_of_it_settles_nothing_however_new(site: Site) -> None:
    site.apply(says("1", 0, OK), unread(5), says("1", 9, {"phones": (cell(),)}))
    assert not sends(site)


def test_late_evidence_that_cannot_be_read_marks_nothing(site: Site) -> None:
    site.apply(says("1", 9, OK), unread(5))
    assert sends(site)


def test_the_same_content_as_before_without_what_could_not_be_read_is_no_repeat(site: Site) -> None:
    only_phones = {"phones": (cell(),)}
    site.apply(says("1", 0, only_phones), says("1", 3, only_phones))
    site.apply(unread(5))
    assert not sends(site)
    site.apply(says("1", 8, only_phones))
    assert not sends(site)


@pytest.mark.parametrize("now_read", [OK, {"phones": (cell(),)}, DNC])
@pytest.mark.parametrize("how", [{"mapping": "m2"}, {"received": RECEIVED}])
def test_the_same_evidence_that_is_read_again_settles_it(site: Site, now_read: Mapping[str, Any], how: dict[str, Any]) -> None:
    site.apply(says("1", 0, OK), unread(5, evidence="M"))
    site.apply(replace(says("1", 5, now_read, evidence="M"), **how))
    assert site.find("1").unreadable == ()
    assert sends(site) is (now_read != DNC)


@pytest.mark.parametrize("beside", [{}, {"language": "es"}])
@pytest.mark.parametrize("said", ["no", "yes"])
def test_a_payload_that_a_former_mapping_reads_again_is_as_readable_as_that_finds_it(
    site: Site, said: str, beside: Mapping[str, Any]
) -> None:
    """Without codes nothing but the payload itself can say what today's mapping makes of it (product rule 5.8)."""
    site.apply(says("1", 0, {"phones": (cell(),)}))
    read = says("1", 5, {"do_not_contact": said, **beside}, evidence="M", mapping="m1")
    not_read = replace(unread(5, stated=beside, evidence="M"), mapping="m2")
    for _ in range(2):
        site.apply(read)
        assert site.find("1").unreadable == ()
        assert sends(site) is (said == "no")
        site.apply(not_read)
        assert asked(site).reasons == (REASON,)


@pytest.mark.parametrize("later", [OK, {"phones": (cell(),)}])
def test_another_message_of_the_same_control_id_and_time_settles_nothing(site: Site, later: Mapping[str, Any]) -> None:
    site.apply(says("1", 0, OK), unread(5, evidence="M"))
    site.apply(says("1", 5, later, evidence="M"))
    assert not sends(site)
    site.apply(says("1", 6, OK))
    assert sends(site)


@pytest.mark.parametrize("content", ["other", ""])
def test_another_message_of_the_same_control_id_and_time_settles_nothing_by_another_mapping(site: Site, content: str) -> None:
    site.apply(says("1", 0, OK), replace(unread(5, evidence="M"), content="first", mapping="m1"))
    site.apply(replace(says("1", 5, {"phones": (cell(),)}, evidence="M"), content=content, mapping="m2"))
    assert not sends(site)
    site.apply(replace(says("1", 5, {"phones": (cell(),)}, evidence="M"), content="first", mapping="m2"))
    assert sends(site)


def test_a_replay_of_another_message_of_the_same_control_id_and_time_settles_nothing(site: Site) -> None:
    site.apply(says("1", 0, OK), replace(unread(5, evidence="M"), content="first", mapping="m1"))
    for content, stated, settles in (("other", {"language": "es"}, False), ("first", {"phones": (cell(),)}, True)):
        site.apply(replace(says("1", 5, stated, evidence="M"), content=content, mapping="m1", received=site.now))
        assert sends(site) is settles


def test_a_replay_that_is_still_unreadable_settles_nothing(site: Site) -> None:
    site.apply(says("1", 0, OK), unread(5, evidence="M"))
    site.apply(unread(5, evidence="M"))
    assert not sends(site)


@pytest.mark.parametrize(
    ("attribute", "kind", "channels", "refused"),
    [
        ("do_not_contact", "automation", ("sms",), True),
        ("do_not_contact", "broadcast", ("sms",), False),
        ("consent.sms", "broadcast", ("sms", "voice"), True),
        ("consent.sms", "broadcast", ("voice",), False),
        ("consent.voice", "manual", ("voice",), True),
        ("deceased", "campaign", ("sms",), True),
        ("restricted", "automation", ("sms",), False),
        ("preferred_method", "automation", ("sms",), True),
        ("preferred_method", "broadcast", ("sms",), False),
        ("preferred_method", "manual", ("sms",), False),
        ("preferred_phone", "automation", ("sms",), False),
        ("phones", "automation", ("sms",), False),
        ("email", "automation", ("sms",), False),
        ("language", "automation", ("sms",), False),
    ],
)
def test_it_refuses_what_it_governs_and_nothing_else(
    site: Site, attribute: str, kind: str, channels: tuple[str, ...], refused: bool
) -> None:
    site.apply(says("1", 0, OK), unread(5, attribute))
    assert sends(site, kind=kind, channels=channels) is not refused


def test_the_policy_may_flag_it_instead(site: Site) -> None:
    site.apply(says("1", 0, OK), unread(5))
    found = asked(site, policy=Policy(when_unreadable="flag"))
    assert (found.decision, found.reasons) == ("send", (REASON,))


def test_another_source_does_not_settle_it(site: Site) -> None:
    site.apply(says("1", 0, OK), unread(5))
    site.apply(says("1", 9, OK), source=FHIR)
    assert not sends(site)


def test_it_survives_a_merge_and_its_undoing(site: Site) -> None:
    site.apply(says("1", 0, OK), says("2", 0, OK), unread(5))
    site.apply(merges("2", "1"))
    assert REASON in decide(DecisionRequest(message_type="automation", channels=("sms",)), site.known("2"), Policy(), site.tick()).reasons


def test_a_record_of_which_nobody_can_tell_whether_it_is_restricted_takes_nothing_back(site: Site) -> None:
    site.apply(says("1", 0, DNC | {"phones": (cell(CELL),)}))
    site.apply(unread(5, "restricted", {"do_not_contact": None, "phones": None}))
    assert (site.dnc("1"), [one.number for one in site.value("1", "phones")]) == ("yes", [CELL])


def test_without_sync_it_has_no_effect(site: Site) -> None:
    local = site.configured(LOCAL)
    local.apply(says("1", 0, OK), unread(5))
    assert local.find("1").unreadable == ()
    assert sends(local)


def test_what_the_other_record_had_stated_before_a_merge_settles_nothing_when_it_arrives_late(site: Site) -> None:
    site.apply(says("1", 0, OK), says("2", 0, OK))
    site.apply(unread(5))
    site.apply(merges("1", "2", 60))
    site.apply(says("2", 30, OK))
    assert asked(site).reasons == (REASON,)
    site.apply(replace(unread(5, stated=OK), problems=(), received=RECEIVED))
    assert sends(site)


def test_what_the_other_record_stated_at_the_moment_of_a_merge_is_not_newer_than_what_arrives_late(site: Site) -> None:
    site.apply(says("2", 100, OK), merges("1", "2"))
    assert sends(site)
    site.apply(unread(50))
    assert not sends(site)


def test_a_record_that_is_parted_is_as_unreadable_as_its_own_evidence(site: Site) -> None:
    site.apply(says("1", 0, OK), says("2", 0, OK))
    site.apply(unread(5))
    site.apply(merges("2", "1", 60))
    site.apply(says("2", 90, OK))
    assert sends(site)
    site.store.unmerge(site.enterprise, PatientRef(authority="GENHOSP", value="1"), actor=PERSON, reason="", now=site.tick())
    assert asked(site).reasons == (REASON,)


def releases(site: Site, *sources: str) -> Release:
    """What retires sources; those named were heard."""
    journal = Journal(site.database)
    with site.database.write(site.enterprise) as transaction:
        for source in sources:
            journal.mark_received(transaction, source, site.enterprise, now=site.now)
    return Release(site.store, journal)


def released(site: Site) -> Release:
    """Retires ADT, of whose newest evidence the Do Not Contact could not be read."""
    site.apply(says("1", 0, OK))
    site.apply(unread(5))
    work = releases(site, ADT)
    work.release(ADT, PERSON, site.tick())
    return work


def seconds_of(site: Site) -> float:
    """Now, in the seconds that statements are dated by."""
    return (site.now - at(0)).total_seconds()


def test_undoing_the_retirement_of_a_source_brings_back_what_could_not_be_read(site: Site) -> None:
    work = released(site)
    work.undo(ADT, PERSON, site.tick())
    assert asked(site).reasons == (REASON,)
    site.apply(says("1", 6, OK))
    assert sends(site)


def test_retiring_a_source_permits_nobody_whom_it_could_not_be_read_about(site: Site) -> None:
    released(site)
    assert asked(site).reasons == (REASON,)
    (mark,) = site.find("1").unreadable
    assert (mark.attribute, mark.source) == ("do_not_contact", "staff")


@pytest.mark.parametrize(("after", "settled"), [(-1, False), (1, True)])
def test_another_source_settles_it_by_what_it_states_after_the_release(site: Site, after: float, settled: bool) -> None:
    site.apply(says("1", 3, {"do_not_contact": "no"}), source=FHIR)
    released(site)
    when = seconds_of(site) + after
    site.tick()
    site.apply(says("1", when, {"do_not_contact": "no"}), source=FHIR)
    assert sends(site) is settled


def test_another_source_settles_it_by_repeating_itself_after_the_release(site: Site) -> None:
    released(site)
    site.apply(says("1", 4, {"do_not_contact": "no"}), source=FHIR)
    site.apply(says("1", 4.5, {"do_not_contact": "no"}, evidence="E2"), source=FHIR)
    assert asked(site).reasons == (REASON,)
    site.tick()
    site.apply(says("1", seconds_of(site), {"do_not_contact": "no"}), source=FHIR)
    assert sends(site)


def test_what_two_retired_sources_left_unreadable_is_settled_once_for_both(site: Site) -> None:
    released(site)
    site.apply(unread(6, evidence="F"), source=FHIR)
    work = releases(site, FHIR)
    work.release(FHIR, PERSON, site.tick())
    work.undo(FHIR, PERSON, site.tick())
    site.apply(says("1", seconds_of(site), {"do_not_contact": "no"}), source=FHIR)
    assert sends(site)


def test_undoing_one_retirement_keeps_what_another_source_left_unreadable(site: Site) -> None:
    released(site)
    site.apply(unread(6, evidence="F"), source=FHIR)
    work = releases(site, FHIR)
    work.release(FHIR, PERSON, site.tick())
    work.undo(ADT, PERSON, site.tick())
    assert {mark.source for mark in site.find("1").unreadable} == {ADT, "staff"}
    site.apply(says("1", 7, OK))
    assert [mark.source for mark in site.find("1").unreadable] == ["staff"]
    site.apply(says("1", seconds_of(site), OK))
    assert sends(site)


def test_of_two_that_overlap_neither_is_settled_by_what_may_be_older_than_the_other(site: Site) -> None:
    site.apply(says("1", 0, OK))
    coarse = unread(5, evidence="A")
    site.apply(replace(coarse, effective=Time(coarse.effective.earliest, at(20))), unread(10, evidence="B"))
    site.apply(says("1", 15, OK))
    assert asked(site).reasons == (REASON,)
    site.apply(says("1", 21, OK))
    assert sends(site)


def test_what_a_restricted_record_leaves_out_or_deletes_settles_nothing(site: Site) -> None:
    site.apply(says("1", 0, OK))
    site.apply(unread(5))
    site.apply(says("1", 10, {"do_not_contact": None}, restricted=True))
    assert asked(site).reasons == (REASON,)


def test_a_method_that_could_not_be_read_is_settled_by_one_that_can(site: Site) -> None:
    site.apply(says("1", 0, {**OK, "preferred_method": "sms"}), unread(5, "preferred_method"))
    assert asked(site).reasons == (REASON,)
    site.apply(says("1", 9, {**OK, "preferred_method": "sms"}))
    assert sends(site)
