"""Opt-outs of patients with several records: each record is written by itself, and what the EMR repeats of it is the echo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.rehearsal.population import mrn
from store import times
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.domain.write_back import WriteBackState
from store.patients.write_backs import WriteBacks
from store.preference import Identifier, PatientStatements, Phone, Statement
from tests.sync.test_write_back import AS_CONSENT, CATEGORY, DEAD, IN_PATIENT, SENT, SMS, Site, serving
from tests.sync.test_write_back_a31 import Updated, updated
from tests.sync.test_write_back_own_denials import merge

__all__ = ["updated"]
LATER = timedelta(minutes=5)
OWN = WriteBackState.OWN


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with serving(database_url, tmp_path, IN_PATIENT) as found:
        yield found


@pytest.fixture
def consents(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with serving(database_url, tmp_path, AS_CONSENT, consent={"attribute": SMS, "category": [CATEGORY]}) as found:
        yield found


def two_records(site: Site) -> tuple[int, int, str]:
    """Two records that both sources stated; the number is that of the first."""
    (one, number), (other, _) = site.patient(), site.patient()
    for index in (one, other):
        site.adt(index, site.clock())
    return one, other, number


def granted() -> dict[str, Statement]:
    return {SMS: Statement("granted", "t")}


def state(site: Site, source: str, names: tuple[Identifier, ...], statements: dict[str, Statement]) -> None:
    """A source states something about a patient who is not in the EMR's population."""
    site.later(timedelta(seconds=1))
    item = PatientStatements(names, statements, times.at(site.clock()), f"{source}-{site.clock().isoformat()}")
    with site.runtime.database.write("general") as transaction:
        site.runtime.preferences.apply_many(transaction, "general", source, [item], now=site.clock())


def unmerge(site: Site, merged: int) -> None:
    site.later(LATER)
    record = PatientRef(authority="GENHOSP", value=mrn(merged))
    site.runtime.preferences.unmerge("general", record, actor=Actor(Role.OPERATOR, "ops"), reason="not one person", now=site.clock())


def comes_back(site: Site, *indices: int) -> None:
    """The EMR sends the records as they are now."""
    site.later(LATER)
    for index in indices:
        site.adt(index, site.clock())


def lifted_by_start(site: Site, index: int, number: str) -> bool:
    site.reply(number, "START")
    return site.may_text(index)


@pytest.mark.parametrize("first", ["survivor", "merged"])
def test_what_the_emr_repeats_of_either_record_after_an_update_of_both_is_the_echo(updated: Updated, first: str) -> None:
    site = updated.site
    survivor, merged, number = two_records(site)
    merge(site, survivor, merged)
    site.reply(number)
    site.sender.once()
    assert [site.emr_permits(index) for index in (survivor, merged)] == [False, False]
    order = (survivor, merged) if first == "survivor" else (merged, survivor)
    comes_back(site, *order)
    assert not site.may_text(survivor)
    assert lifted_by_start(site, survivor, number)


def test_what_fhir_and_hl7_repeat_of_two_merged_patients_is_the_echo(site: Site) -> None:
    site.emr.chart.clock = site.clock
    survivor, merged, number = two_records(site)
    merge(site, survivor, merged)
    site.reply(number)
    site.sender.once()
    assert [site.emr_permits(index) for index in (survivor, merged)] == [False, False]
    site.later(LATER)
    site.pull()
    comes_back(site, survivor, merged)
    assert not site.may_text(survivor)
    assert lifted_by_start(site, survivor, number)


def test_consents_that_were_written_for_two_merged_patients_are_the_echo(consents: Site) -> None:
    survivor, merged, number = two_records(consents)
    merge(consents, survivor, merged)
    consents.reply(number)
    consents.sender.once()
    assert len(consents.emr.written.consents) == 2
    consents.later(LATER)
    consents.pull()
    assert not consents.may_text(survivor)
    assert lifted_by_start(consents, survivor, number)


@pytest.mark.parametrize("comes", ["while merged", "after", "both"])
def test_an_update_of_two_records_is_the_echo_of_each_also_when_they_are_unmerged(updated: Updated, comes: str) -> None:
    site = updated.site
    (survivor, number), (merged, other_number) = site.patient(), site.patient()
    for index in (survivor, merged):
        site.adt(index, site.clock())
    merge(site, survivor, merged)
    for one in (number, other_number):
        site.reply(one)
    site.sender.once()
    if comes != "after":
        comes_back(site, survivor, merged)
    unmerge(site, merged)
    site.sender.fill()
    assert site.sender.once() == 0, "each has it already"
    if comes != "while merged":
        comes_back(site, survivor, merged)
    assert [site.may_text(index) for index in (survivor, merged)] == [False, False]
    site.reply(number, "START")
    assert [site.may_text(index) for index in (survivor, merged)] == [True, False]
    site.reply(other_number, "START")
    assert [site.may_text(index) for index in (survivor, merged)] == [True, True]


def test_an_opt_out_that_waits_at_an_unmerge_is_not_written_for_a_patient_whom_it_does_not_bind(updated: Updated) -> None:
    site = updated.site
    survivor, merged, number = two_records(site)
    merge(site, survivor, merged)
    site.reply(number)
    unmerge(site, merged)
    site.sender.once()
    assert [site.emr_permits(index) for index in (survivor, merged)] == [False, True]


def test_a_denial_of_a_record_whose_patient_does_not_refuse_after_an_unmerge_counts(updated: Updated) -> None:
    site = updated.site
    survivor, merged, number = two_records(site)
    merge(site, survivor, merged)
    site.reply(number)
    site.sender.once()
    unmerge(site, merged)
    comes_back(site, survivor, merged)
    site.reply(number, "START")
    assert [site.may_text(index) for index in (survivor, merged)] == [True, False]


@pytest.mark.parametrize("written", ["survivor", "merged"])
def test_what_is_merged_after_the_update_and_before_its_echo_is_still_the_echo(updated: Updated, written: str) -> None:
    site = updated.site
    first, second, number = two_records(site)
    site.reply(number)
    site.sender.once()
    merge(site, *((first, second) if written == "survivor" else (second, first)))
    comes_back(site, first)
    assert not site.may_text(first)
    assert lifted_by_start(site, first, number)


def test_a_merged_record_that_denied_already_keeps_its_own_denial(site: Site) -> None:
    survivor, merged, number = two_records(site)
    merge(site, survivor, merged)
    site.emr.written.chart.deny_texts(merged)
    site.reply(number)
    site.sender.once()
    assert [len(site.states()[state]) for state in (SENT, OWN)] == [1, 1]
    comes_back(site, survivor, merged)
    assert not lifted_by_start(site, survivor, number), "the EMR denied the merged record before"


def test_an_opt_out_that_waits_when_its_record_is_merged_is_not_written_after_a_start(updated: Updated) -> None:
    site = updated.site
    merged, survivor, number = two_records(site)
    site.reply(number)
    merge(site, survivor, merged)
    site.reply(number, "START")
    assert site.sender.once() == 0
    assert [site.emr_permits(index) for index in (survivor, merged)] == [True, True]


def test_an_update_of_one_record_that_the_emr_refuses_does_not_keep_the_other_from_it(updated: Updated) -> None:
    site = updated.site
    survivor, merged, number = two_records(site)
    merge(site, survivor, merged)
    site.reply(number)
    updated.listener.codes.append("AE")
    site.sender.once()
    assert [len(site.states("adt")[state]) for state in (SENT, DEAD)] == [1, 1]
    (taken,) = (index for index in (survivor, merged) if site.emr_permits(index) is False)
    comes_back(site, taken)
    assert lifted_by_start(site, survivor, number)
    assert not site.states("adt")[DEAD]


def test_a_merge_writes_nothing_into_the_merged_record_but_the_survivor_gets_the_opt_out(updated: Updated) -> None:
    site = updated.site
    written, other, number = two_records(site)
    site.reply(number)
    site.sender.once()
    merge(site, written, other)
    site.sender.fill()
    assert site.sender.once() == 0
    unmerge(site, other)
    merge(site, other, written)
    site.sender.fill()
    site.sender.once()
    assert site.emr_permits(other) is False
    assert len(updated.listener.messages) == 2


def test_a_denial_before_a_new_stop_is_written_into_a_merged_record_is_its_own(updated: Updated) -> None:
    site = updated.site
    survivor, merged, number = two_records(site)
    merge(site, survivor, merged)
    site.reply(number)
    site.sender.once()
    site.reply(number, "START")
    site.reply(number)
    comes_back(site, merged)
    assert not lifted_by_start(site, survivor, number)


def test_a_record_known_by_its_record_id_alone_is_the_one_whose_other_identifiers_came_later(site: Site) -> None:
    number, names = "+12075550999", (Identifier("GENHOSP", "MR", "MRN90001"), Identifier("emr", "RI", "rp-90001"))
    state(site, "emr", names[1:], granted())
    state(site, "adt", names[:1], granted() | {"phones": Statement((Phone(number, "cell", rank=1),), "t")})
    state(site, "emr", names, granted())
    site.reply(number)
    outbox = WriteBacks(site.runtime.database)
    (one,) = outbox.take(site.clock(), ["emr"])
    assert set(outbox.names(one)) == set(names)
    outbox.settle(one, SENT, "", site.clock(), site.clock())
    site.later(LATER)
    for source, known in (("adt", names[:1]), ("emr", names[1:]), ("emr", names)):
        state(site, source, known, {SMS: Statement("denied", "t")})
    site.reply(number, "START")
    patient = site.runtime.preferences.find("general", PatientRef(authority="GENHOSP", value="MRN90001"))
    assert patient.contact.consents["sms"] == "granted"


def test_a_denial_that_names_two_patients_is_the_echo_only_for_the_one_who_was_written(updated: Updated) -> None:
    site = updated.site
    (written, number), (survivor, other_number), (merged, _) = (site.patient() for _ in range(3))
    for index in (written, survivor, merged):
        site.adt(index, site.clock())
    merge(site, survivor, merged)
    site.reply(number)
    site.sender.once()
    site.reply(other_number)
    site.later(LATER)
    names = tuple(Identifier("GENHOSP", "MR", value) for value in ("MRN99999", mrn(written), mrn(survivor)))
    state(site, "adt", names, {SMS: Statement("denied", "t")})
    for one in (number, other_number):
        site.reply(one, "START")
    assert [site.may_text(index) for index in (written, survivor)] == [True, False]


def test_an_old_yes_of_either_record_does_not_end_the_stop(updated: Updated) -> None:
    site = updated.site
    survivor, merged, number = two_records(site)
    merge(site, survivor, merged)
    site.reply(number)
    site.sender.once()
    for late in (timedelta(0), timedelta(seconds=30), LATER):
        site.later(late)
        for index in (merged, survivor):
            site.adt(index, site.clock(), texting_ok=True)
            assert not site.may_text(survivor)
