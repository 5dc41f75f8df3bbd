"""Denials of the EMR's own, beside opt-outs that were written to it: none is taken for an echo. And no opt-out keeps others back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Refusal
from adapters.rehearsal.dialect import fhir_mapping
from adapters.rehearsal.population import mrn
from store import times
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.domain.sms_consent import ALL_LINES, ConsentEvent
from store.domain.write_back import WriteBackState
from store.patients.write_backs import LEASE
from store.preference import PATIENT, Identifier, PatientMerge
from sync.config import load
from sync.measuring import measured
from sync.write_back import NOT_CONFIGURED, WriteBackSender
from tests.sync.test_write_back import AS_CONSENT, CATEGORY, IN_PATIENT, SMS, WAITING, Site, serving

VOICE, CALLS_OK = "consent.voice", "https://rehearsal.example/calls-ok"
LATER = timedelta(minutes=5)
CALLS = {VOICE: {"from": f"Patient.extension('{CALLS_OK}').valueBoolean", "values": {"true": "granted", "false": "denied"}}}
BOTH = IN_PATIENT | {"attributes": IN_PATIENT["attributes"] | {VOICE: {"extension": CALLS_OK, "value": "false"}}}


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with serving(database_url, tmp_path, BOTH, mapping=fhir_mapping() | CALLS) as found:
        yield found


@pytest.fixture
def consents(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with serving(database_url, tmp_path, AS_CONSENT, consent={"attribute": SMS, "category": [CATEGORY]}) as found:
        yield found


# --- no echo


def merge(site: Site, survivor: int, merged: int) -> None:
    site.later(LATER)
    one, other = (Identifier("GENHOSP", "MR", mrn(who)) for who in (survivor, merged))
    with site.runtime.database.write("general") as transaction:
        item = PatientMerge((one,), (other,), times.at(site.clock()), "A40")
        site.runtime.preferences.apply_many(transaction, "general", "adt", [item], now=site.clock())


def test_a_denial_after_a_start_while_two_records_were_merged_is_the_emrs_own(site: Site) -> None:
    (index, number), (survivor, _) = site.patient(), site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    site.sender.once()
    merge(site, survivor, index)
    site.reply(number, "START")
    site.later(LATER)
    merged = PatientRef(authority="GENHOSP", value=mrn(index))
    site.runtime.preferences.unmerge("general", merged, actor=Actor(Role.OPERATOR, "ops"), reason="not one person", now=site.clock())
    assert site.may_text(index)
    site.later(LATER)
    assert site.adt(index, site.clock()) == "applied"
    assert not site.may_text(index)


def test_a_denial_in_a_merged_record_to_which_nothing_was_written_is_the_emrs_own(site: Site) -> None:
    (survivor, number), (index, _) = site.patient(), site.patient()
    site.reply(number)
    site.sender.once()
    merge(site, survivor, index)
    site.later(LATER)
    site.adt(index, site.clock(), texting_ok=False)
    site.reply(number, "START")
    assert not site.may_text(survivor)


def test_a_denial_that_the_emr_had_before_the_opt_out_was_written_is_its_own(site: Site) -> None:
    index, number = site.patient()
    site.emr.written.chart.deny_texts(index)
    site.reply(number)
    site.sender.once()
    site.later(LATER)
    assert site.adt(index, site.clock()) == "applied"
    site.reply(number, "START")
    assert not site.may_text(index)


def test_a_consent_of_the_emrs_own_is_no_echo_of_the_one_that_was_written(consents: Site) -> None:
    index, number = consents.patient()
    consents.reply(number)
    consents.sender.once()
    consents.later(LATER)
    (ours,) = consents.emr.written.consents
    own = {"id": "own", "identifier": [{"system": "https://rehearsal.example/forms", "value": "9"}]}
    consents.emr.written.consents.append(ours | own | {"meta": {"versionId": "1", "lastUpdated": consents.clock().isoformat()}})
    consents.pull()
    consents.reply(number, "START")
    assert not consents.may_text(index)


# --- one opt-out that cannot be written keeps no others back


def two_opt_outs(site: Site) -> tuple[int, int]:
    """Two patients opt out; the opt-out of the first is sent first."""
    numbers = dict(site.patient() for _ in range(2))
    first, second = sorted(numbers, key=lambda index: site.found(index).id)
    for index in (first, second):
        site.reply(numbers[index])
    return first, second


def test_an_opt_out_whose_attribute_left_the_configuration_waits_and_keeps_no_others_back(site: Site) -> None:
    index, number = site.patient()
    calls = ConsentEvent(number, None, PATIENT, True, site.clock(), ALL_LINES, channel="voice")
    with site.runtime.database.write("general") as transaction:
        site.runtime.preferences.consent(transaction, "general").opt_out(calls, "key_pressed", "ivr", site.clock())
    configuration = json.loads(site.file.read_text())
    configuration["sources"]["emr"]["write_back"] = IN_PATIENT
    site.file.write_text(json.dumps(configuration))
    site.runtime.reload(load(site.file, {}))
    site.reply(number)
    assert site.sender.once() == 2
    assert site.emr_permits(index) is False
    assert site.states()[WAITING] == [(0, NOT_CONFIGURED)]


def test_a_source_that_is_given_to_another_enterprise_writes_nothing_of_the_former(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    configuration = json.loads(site.file.read_text())
    configuration["enterprises"]["other"] = configuration["enterprises"]["general"]
    configuration["sources"]["emr"]["enterprise"] = configuration["sources"]["adt"]["enterprise"] = "other"
    site.file.write_text(json.dumps(configuration))
    site.runtime.reload(load(site.file, {}))
    site.sender.once()
    assert site.emr_permits(index)
    assert [attempts for attempts, _ in site.states()[WAITING]] == [0]


def test_a_source_without_write_back_alerts_nobody_about_what_it_did_not_write(site: Site) -> None:
    _, number = site.patient()
    site.reply(number)
    shown = 'emr_sync_write_backs{source="emr",state="waiting"} 1.0'
    assert shown in site.runtime.metrics.text(measured(site.runtime)).decode()
    configuration = json.loads(site.file.read_text())
    del configuration["sources"]["emr"]["write_back"]
    site.file.write_text(json.dumps(configuration))
    site.runtime.reload(load(site.file, {}))
    assert "emr_sync_write_backs{" not in site.runtime.metrics.text(measured(site.runtime)).decode()


class Failing:
    """A sink that cannot write the first opt-out that it gets."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.never = inner, ""

    def write(self, refusal: Refusal) -> bool:
        self.never = self.never or refusal.key
        if refusal.key == self.never:
            raise ValueError("MRN10001 is not what this program expected")
        return bool(self.inner.write(refusal))


def test_an_opt_out_that_an_error_of_the_program_prevents_keeps_no_others_back(site: Site) -> None:
    first, second = two_opt_outs(site)
    site.sender._sinks["emr"] = (site.runtime.feed("emr"), Failing(site.sender._sink(site.runtime.feed("emr"))))
    site.sender.once()
    assert (site.emr_permits(first), site.emr_permits(second)) == (True, False)
    ((attempts, reason),) = site.states()[WAITING]
    assert attempts == 1
    assert "ValueError" in reason
    assert "MRN10001" not in reason
    healthy = WriteBackSender(site.runtime)
    site.later(LEASE)
    healthy.once()
    assert site.emr_permits(first) is False


def test_a_patient_whom_the_emr_cannot_save_keeps_no_others_back(site: Site) -> None:
    first, second = two_opt_outs(site)
    site.emr.written.refusals.append(500)
    site.sender.once()
    assert (site.emr_permits(first), site.emr_permits(second)) == (True, False)
    assert [attempts for attempts, _ in site.states()[WAITING]] == [1]


def test_after_three_failures_in_a_row_the_emr_is_left_alone(site: Site) -> None:
    for _, number in [site.patient() for _ in range(5)]:
        site.reply(number)
    site.emr.written.refusals += [500] * 5
    before = site.emr.written.requests
    site.sender.once()
    site.emr.written.refusals.clear()
    assert site.emr.written.requests - before == 3
    assert sorted(attempts for attempts, _ in site.states()[WAITING]) == [0, 0, 1, 1, 1]
    assert not site.states()[WriteBackState.DEAD]
