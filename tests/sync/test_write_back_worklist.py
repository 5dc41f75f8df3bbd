"""The sink ``worklist``: staff type the opt-outs into the EMR and tick them off. Nothing is sent; an echo is told as for other sinks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from adapters.rehearsal.population import mrn
from store.audit.audit_log import NOT_TYPED_IN, TYPED_IN, Audit
from store.domain.ids import shown
from store.domain.lock import Actor, Role
from store.patients.worklist import Worklist
from sync.write_back import WriteBackSender
from tests.sync.providers import shared_url
from tests.sync.test_write_back import SENT, SMS, WAITING, Site, serving
from tests.sync.test_write_back_own_denials import merge

BY_STAFF = {"sink": "worklist", "attributes": {SMS: {}}, "echoed_by": ["adt"]}
NURSE = Actor(Role.STAFF, "nurse")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, shared by the tests of this module: each has a patient of its own."""
    folder = tmp_path_factory.mktemp("worklist")
    with shared_url(request, folder) as url, serving(url, folder, BY_STAFF) as found:
        yield found


def listed(site: Site, index: int) -> list[str]:
    """The attributes that wait for staff, of one patient."""
    enterprise, patient = site.runtime.preferences.enterprises["general"], site.found(index).id
    return [one.attribute for one in Worklist(site.runtime.database).waiting(enterprise) if shown(one.patient) == patient]


def tick(site: Site, index: int, source: str = "emr") -> bool:
    enterprise, patient = site.runtime.preferences.enterprises["general"], site.found(index).id
    return Worklist(site.runtime.database).done(enterprise, source, int(patient[3:], 16), SMS, actor=NURSE, now=site.clock())


def test_a_stop_waits_for_staff_and_nothing_is_sent(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    assert listed(site, index) == [SMS]
    assert (WriteBackSender(site.runtime).run(), site.emr.written.requests) == (0, 0)
    assert listed(site, index) == [SMS]
    assert not site.may_text(index)


def test_the_list_names_the_patient_as_the_emr_does(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    enterprise = site.runtime.preferences.enterprises["general"]
    (found,) = [one for one in Worklist(site.runtime.database).waiting(enterprise) if shown(one.patient) == site.found(index).id]
    assert site.emr.entry(index).person.mrn in [one.value for one in found.names]
    assert (found.source, found.display_name) == ("emr", "Rehearsal EMR (FHIR)")


def test_a_tick_ends_the_wait_once_and_says_who_and_when(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    before = len(site.states()[SENT])
    assert tick(site, index)
    assert listed(site, index) == []
    assert len(site.states()[SENT]) == before + 1
    assert not tick(site, index)
    (line,) = [link.line for link in Audit(site.runtime.database).newest("general", site.found(index).id) if link.line.action == TYPED_IN]
    assert (line.actor, line.at.date()) == (str(NURSE), site.now.date())
    assert '"emr"' in line.detail
    assert SMS in line.detail


def test_what_the_emr_repeats_after_the_tick_is_unchanged_and_a_start_ends_the_stop(site: Site) -> None:
    index, number = site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    site.later(timedelta(minutes=10))
    typed = site.clock()
    site.later(timedelta(hours=2))
    assert tick(site, index)
    assert site.adt(index, typed, texting_ok=False) == "unchanged"
    assert not site.may_text(index)
    site.reply(number, "START")
    assert site.may_text(index)


def test_a_denial_before_the_tick_is_the_emrs_own(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    site.later(timedelta(minutes=10))
    assert site.adt(index, site.clock(), texting_ok=False) == "applied"
    site.reply(number, "START")
    assert not site.may_text(index)


def test_an_emr_that_goes_on_saying_yes_does_not_cancel_the_stop(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    for _ in range(2):
        site.later(timedelta(minutes=5))
        site.adt(index, site.clock())
        assert not site.may_text(index)
        tick(site, index)


def test_an_opt_in_before_the_tick_takes_it_off_the_list(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    site.reply(number, "START")
    assert listed(site, index) == []
    assert not tick(site, index)
    assert site.may_text(index)


def test_a_tick_for_a_source_without_a_worklist_changes_nothing(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    assert not tick(site, index, "adt")
    assert listed(site, index) == [SMS]
    assert len(site.states()[WAITING]) >= 1


def ticked(site: Site, index: int) -> list[str]:
    enterprise, patient = site.runtime.preferences.enterprises["general"], site.found(index).id
    return [one.attribute for one in Worklist(site.runtime.database).ticked(enterprise) if shown(one.patient) == patient]


def undo(site: Site, index: int) -> bool:
    enterprise, patient = site.runtime.preferences.enterprises["general"], site.found(index).id
    return Worklist(site.runtime.database).undo(enterprise, "emr", int(patient[3:], 16), SMS, actor=NURSE, now=site.clock())


def test_a_tick_on_the_wrong_line_is_taken_back_and_both_are_in_the_audit_log(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    assert not undo(site, index), "there is no tick"
    assert tick(site, index)
    assert (listed(site, index), ticked(site, index)) == ([], [SMS])
    site.later(timedelta(minutes=5))
    assert undo(site, index)
    assert (listed(site, index), ticked(site, index)) == ([SMS], [])
    assert not undo(site, index)
    actions = [link.line.action for link in Audit(site.runtime.database).newest("general", site.found(index).id)]
    assert (actions.count(TYPED_IN), actions.count(NOT_TYPED_IN)) == (1, 1)
    assert not site.may_text(index)
    assert tick(site, index)
    assert ticked(site, index) == [SMS]


def test_a_denial_after_a_tick_was_taken_back_is_the_emrs_own(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    assert (tick(site, index), undo(site, index)) == (True, True)
    site.later(timedelta(minutes=10))
    assert site.adt(index, site.clock(), texting_ok=False) == "applied"
    site.reply(number, "START")
    assert not site.may_text(index)


def test_a_tick_that_the_emr_contradicted_can_be_taken_back(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    assert tick(site, index)
    site.later(timedelta(minutes=10))
    site.adt(index, site.clock(), texting_ok=True)
    assert undo(site, index)
    assert listed(site, index) == [SMS]


def test_an_echo_after_a_second_tick_is_still_an_echo(site: Site) -> None:
    index, number = site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    assert (tick(site, index), undo(site, index), tick(site, index)) == (True, True, True)
    site.later(timedelta(minutes=10))
    assert site.adt(index, site.clock(), texting_ok=False) == "unchanged"
    site.reply(number, "START")
    assert site.may_text(index)


def test_a_tick_is_not_taken_back_after_the_patient_opted_in(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    assert tick(site, index)
    site.reply(number, "START")
    assert not undo(site, index)
    assert (listed(site, index), ticked(site, index)) == ([], [])
    assert site.may_text(index)


def test_each_record_of_a_merged_patient_is_on_the_list_and_has_its_own_tick(site: Site) -> None:
    (survivor, number), (merged, _) = site.patient(), site.patient()
    for index in (survivor, merged):
        site.adt(index, site.clock())
    records = {index: int(site.found(index).id[3:], 16) for index in (survivor, merged)}
    merge(site, survivor, merged)
    site.reply(number)
    enterprise, worklist = site.runtime.preferences.enterprises["general"], Worklist(site.runtime.database)
    names = {one.patient: {name.value for name in one.names} for one in worklist.waiting(enterprise) if one.patient in records.values()}
    assert [mrn(index) in names[record] for index, record in records.items()] == [True, True]
    assert not names[records[survivor]] & names[records[merged]]
    for record in records.values():
        assert worklist.done(enterprise, "emr", record, SMS, actor=NURSE, now=site.clock())
    site.later(timedelta(minutes=5))
    for index in (survivor, merged):
        site.adt(index, site.clock(), texting_ok=False)
    site.reply(number, "START")
    assert site.may_text(survivor)


def test_a_denial_of_a_merged_record_that_nobody_ticked_is_the_emrs_own(site: Site) -> None:
    (survivor, number), (merged, _) = site.patient(), site.patient()
    for index in (survivor, merged):
        site.adt(index, site.clock())
    merge(site, survivor, merged)
    site.reply(number)
    assert tick(site, survivor)
    site.later(timedelta(minutes=5))
    site.adt(merged, site.clock(), texting_ok=False)
    site.reply(number, "START")
    assert not site.may_text(survivor)
