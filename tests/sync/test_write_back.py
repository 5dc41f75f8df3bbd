"""Opt-outs on their way to the rehearsal EMR, over real sockets: what is written, when it is tried again, and what the EMR repeats."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.base import AdapterError, Fetch, Payload, Refusal
from adapters.rehearsal import hl7
from adapters.rehearsal.dialect import TEXTING_OK
from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.population import mrn
from store.domain.decision import KnownPatient, decide
from store.domain.decision_request import DecisionRequest
from store.domain.lock import Actor, Role
from store.domain.patient import Patient, PatientRef
from store.domain.policies import Policy
from store.domain.write_back import WriteBackState
from store.patients.write_backs import LEASE, WriteBacks
from store.runs.encryption import new_key
from store.runs.runs import RunKind
from sync.commands import cli
from sync.config import load
from sync.measuring import measured
from sync.runtime import Runtime, adapter, lane
from sync.write_back import WriteBackSender
from tests.sync.providers import shared_url

LINE, OTHER_LINE, PATIENTS = "+12175550190", "+12175550191", 60
SMS, WAITING, SENT, DEAD = "consent.sms", WriteBackState.WAITING, WriteBackState.SENT, WriteBackState.DEAD
IN_PATIENT: dict[str, Any] = {
    "sink": "fhir.patient",
    "attributes": {SMS: {"extension": TEXTING_OK, "value": "false"}},
    "echoed_by": ["adt"],
    "give_up_after": "6h",
}
CATEGORY = "https://rehearsal.example/consents|texts"
AS_CONSENT: dict[str, Any] = {"sink": "fhir.consent", "attributes": {SMS: {"category": CATEGORY}}}


@dataclass
class Site:
    """A store that reads the EMR and writes opt-outs to it. ``now`` is its time."""

    runtime: Runtime
    emr: RehearsalEmr
    sender: WriteBackSender
    file: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    used: set[int] = field(default_factory=set)

    def clock(self) -> datetime:
        self.now = max(self.now, datetime.now(UTC))
        return self.now

    def later(self, by: timedelta) -> None:
        self.now = self.clock() + by

    def pull(self, source: str = "emr") -> dict[str, int]:
        feed = self.runtime.feed(source)
        return dict(self.runtime.engine.run(lane(feed), self.runtime.polled(feed), Fetch(full=True), RunKind.FULL).counts)

    def adt(self, index: int, at: datetime, **changes: Any) -> str:
        """Receives an ADT message with the patient's present record; its outcome."""
        entry = self.emr.entry(index)
        body = hl7.message(entry._replace(updated=at, person=replace(entry.person, **changes)), "A08")
        feed = self.runtime.feed("adt")
        (answer,) = self.runtime.engine.ingest(lane(feed), adapter(feed).mapper, [Payload(body, "m", self.clock())])
        return answer.outcome

    def patient(self) -> tuple[int, str]:
        """A patient of their own for a test: may be texted, and has a number that nobody else has."""
        people = [self.emr.entry(index).person for index in range(PATIENTS)]
        numbers = [number.e164 for one in people for number in one.numbers]
        for one in people:
            cells = [number.e164 for number in one.numbers if number.kind == "cell" and numbers.count(number.e164) == 1]
            if cells and one.texting_ok and not one.restricted and not one.deceased_on and one.index not in self.used:
                self.used.add(one.index)
                return one.index, cells[0]
        raise AssertionError("no more patients")

    def reply(self, number: str, body: str = "STOP", line: str = LINE) -> None:
        self.later(timedelta(seconds=1))
        self.runtime.preferences.record_reply("general", line, number, body, None, self.clock())

    def found(self, index: int) -> Patient:
        return self.runtime.preferences.find("general", PatientRef(authority="GENHOSP", value=mrn(index)))

    def may_text(self, index: int) -> bool:
        (known,) = self.runtime.preferences.known("general", [PatientRef(authority="GENHOSP", value=mrn(index))], self.clock())
        assert isinstance(known, KnownPatient)
        return (
            decide(DecisionRequest(message_type="broadcast", channels=("sms",), line=LINE), known, Policy(), self.clock()).channel == "sms"
        )

    def states(self, source: str = "emr") -> dict[str, list[tuple[int, str]]]:
        outbox = WriteBacks(self.runtime.database)
        return {state: [(one.attempts, one.reason) for one in outbox.listed([source], state)] for state in WriteBackState}

    def emr_permits(self, index: int) -> bool | None:
        return self.emr.entry(index).person.texting_ok


@contextlib.contextmanager
def serving(
    url: str, folder: Path, write_back: dict[str, Any] | None, adt: Callable[[RehearsalEmr], dict[str, Any]] = lambda _: {}, **more: Any
) -> Iterator[Site]:
    """A site. ``adt``: further settings of the HL7 v2 source."""
    with RehearsalEmr(patients=PATIENTS, seed=5) as emr:
        source = emr.fhir_source(enterprise="general") | {"schedule": {"every": "1h"}, **more}
        if "consent" in more:
            del source["mapping"][SMS]
        configuration = {
            "database": url,
            "payload_keys": {"current": "k1", "keys": {"k1": new_key()}},
            "retry": {"first_wait": "10s"},
            "enterprises": {
                "general": {
                    "sync_contact_preferences": True,
                    "default_region": "US",
                    "authorities": emr.authorities,
                    "safeguard": {"floor": 1000},
                }
            },
            "sources": {
                "emr": source | ({"write_back": write_back} if write_back else {}),
                "adt": emr.hl7_source(enterprise="general", listen="127.0.0.1:0") | adt(emr),
            },
        }
        file = folder / "config.yaml"
        file.write_text(json.dumps(configuration))
        runtime = Runtime.open(load(file, {}))
        with contextlib.closing(runtime):
            site = Site(runtime, emr, WriteBackSender(runtime), file)
            runtime.clock = runtime.engine.clock = runtime.engine.intake.clock = site.clock
            site.pull()
            yield site


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, shared by the tests of this module: each has a patient of its own."""
    folder = tmp_path_factory.mktemp("write-back")
    with shared_url(request, folder) as url, serving(url, folder, IN_PATIENT) as found:
        yield found


@pytest.fixture
def consents(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """The same with Consents."""
    with serving(database_url, tmp_path, AS_CONSENT, consent={"attribute": SMS, "category": [CATEGORY]}) as found:
        yield found


# --- a STOP reaches the EMR and comes back


def test_a_stop_reaches_the_emr_and_its_echo_is_unchanged(site: Site) -> None:
    index, number = site.patient()
    site.adt(index, site.clock())
    site.reply(number)
    assert (site.may_text(index), site.emr_permits(index)) == (False, True)
    before = site.found(index)
    assert site.sender.once() == 1
    assert site.emr_permits(index) is False
    assert set(site.pull()) == {"unchanged"}
    assert site.adt(index, site.clock()) == "unchanged"
    after = site.found(index)
    assert [one.authority for one in after.opt_outs] == [one.authority for one in before.opt_outs] == ["patient"]
    assert after.contact.consents["sms"] == "granted"
    assert not site.may_text(index)


def test_a_start_after_the_echo_ends_the_stop(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    site.sender.once()
    site.pull()
    site.reply(number, "START")
    assert site.may_text(index)
    assert site.emr_permits(index) is False, "a permission is never written"


def test_a_denial_that_the_emr_states_after_a_start_is_its_own(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    site.sender.once()
    site.adt(index, site.clock())
    site.reply(number, "START")
    site.adt(index, site.clock())
    assert not site.may_text(index)


def test_an_emr_that_goes_on_saying_yes_does_not_cancel_the_stop(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    for _ in range(3):
        site.later(timedelta(minutes=5))
        site.adt(index, site.clock())
        assert not site.may_text(index)
    site.sender.once()
    assert site.emr_permits(index) is False


def test_a_denial_after_the_emr_permitted_again_is_its_own(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    site.sender.once()
    site.later(timedelta(minutes=5))
    site.adt(index, site.clock(), texting_ok=True)
    assert [one.state for one in WriteBacks(site.runtime.database).listed(["emr"], WriteBackState.CONTRADICTED)] == ["contradicted"]
    site.later(timedelta(minutes=5))
    site.adt(index, site.clock())
    site.reply(number, "START")
    assert not site.may_text(index)


# --- only refusals


def test_a_start_before_the_sending_writes_nothing(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    site.reply(number, "START")
    assert site.sender.once() == 0
    assert (site.emr_permits(index), site.may_text(index)) == (True, True)


@pytest.mark.parametrize("body", ["I will stop by at noon", "thanks"])
def test_what_is_no_clear_opt_out_is_not_written(site: Site, body: str) -> None:
    index, number = site.patient()
    site.reply(number, body)
    assert site.sender.once() == 0
    assert site.emr_permits(index)


def test_an_opt_out_by_staff_is_written_and_one_from_a_topic_is_not(site: Site) -> None:
    index, _ = site.patient()
    staff, now = Actor(Role.STAFF, "nurse"), site.clock()
    record = site.runtime.preferences.record_sms_opt_out
    record("general", site.found(index).id, line=None, topic="recall", actor=staff, reason="asked", now=now)
    assert site.sender.once() == 0
    record("general", site.found(index).id, line=None, topic=None, actor=staff, reason="asked", now=now)
    assert site.sender.once() == 1
    assert site.emr_permits(index) is False


def test_a_repeated_stop_is_written_once(site: Site) -> None:
    _, number = site.patient()
    for line in (LINE, LINE, OTHER_LINE):
        site.reply(number, line=line)
    assert site.sender.once() == 1
    site.reply(number)
    assert site.sender.once() == 0


# --- answers of the EMR


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_is_tried_again_at_once_with_the_new_version(site: Site, status: int) -> None:
    index, number = site.patient()
    site.reply(number)
    site.emr.written.refusals.append(status)
    site.sender.once()
    assert site.emr_permits(index) is False
    assert not site.states()[WAITING]


def test_conflicts_that_do_not_end_are_tried_again_later(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    site.emr.written.refusals += [412] * 3
    site.sender.once()
    assert [attempts for attempts, _ in site.states()[WAITING]] == [1]
    assert site.sender.once() == 0
    site.later(timedelta(minutes=1))
    site.sender.once()
    assert site.emr_permits(index) is False


def test_no_answer_after_the_emr_accepted_is_no_second_change(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    version, site.emr.written.refusals[:] = site.emr.entry(index).version, [0]
    with contextlib.suppress(AdapterError):
        site.sender.once()
    site.later(timedelta(minutes=1))
    site.sender.once()
    assert site.emr.entry(index).version == version + 1
    assert not site.states()[WAITING]


def test_a_refused_opt_out_is_a_dead_letter_that_can_be_retried(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    index, number = site.patient()
    site.reply(number)
    site.emr.written.refusals.append(422)
    site.sender.once()
    ((attempts, reason),) = site.states()[DEAD]
    assert attempts == 1
    ((number_dead, since),) = WriteBacks(site.runtime.database).dead().values()
    assert (number_dead, since <= site.clock()) == (1, True), "a person waits for nothing in the future"
    assert "422" in reason
    assert mrn(index) not in reason
    assert 'emr_sync_write_backs{source="emr",state="dead"} 1.0' in site.runtime.metrics.text(measured(site.runtime)).decode()
    assert not site.may_text(index)
    site.sender.fill()
    assert len(site.states()[DEAD]) == 1, "only a person tries it again"
    capsys.readouterr()
    assert cli.run(["-c", str(site.file), "check", "emr"]) == 1
    assert "FAIL  write-back: fhir.patient; none waiting; 1 dead letter: emr-sync write-backs emr\n" in capsys.readouterr().out
    assert cli.run(["-c", str(site.file), "write-backs", "--json"]) == 0
    assert [one["attribute"] for one in json.loads(capsys.readouterr().out)] == [SMS]
    assert cli.run(["-c", str(site.file), "write-backs", "emr", "--retry", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"retried": 1}
    assert cli.run(["-c", str(site.file), "check", "emr", "--json"]) == 0
    assert {"what": "write-back", "ok": True, "detail": "fhir.patient; 1 opt-out waiting; no dead letters"} in json.loads(
        capsys.readouterr().out
    )["findings"]
    site.sender.once()
    assert site.emr_permits(index) is False


def test_an_emr_that_is_away_too_long_leaves_a_dead_letter(site: Site) -> None:
    index, number = site.patient()
    site.reply(number)
    for _ in range(40):
        site.emr.written.refusals[:] = [412] * 3
        site.sender.once()
        if site.states()[DEAD]:
            break
        site.later(timedelta(hours=2))
    site.emr.written.refusals.clear()
    ((attempts, reason),) = site.states()[DEAD]
    assert 8 < attempts < 40
    assert "given up" in reason
    assert not site.may_text(index)
    WriteBacks(site.runtime.database).revive("emr", "general", site.clock())
    site.sender.once()
    assert site.emr_permits(index) is False


# --- the sender is killed


class Killed(BaseException):
    """The process was killed."""


class Dying:
    """A sink in a process that is killed after, or before, the EMR took the opt-out."""

    def __init__(self, site: Site, *, before: bool) -> None:
        self.inner, self.before = site.sender._sink(site.runtime.feed("emr")), before

    def write(self, refusal: Refusal) -> bool:
        if not self.before:
            self.inner.write(refusal)
        raise Killed


def test_a_sender_that_is_killed_in_the_middle_of_retries_loses_nothing(site: Site) -> None:
    people = [site.patient() for _ in range(4)]
    for _, number in people:
        site.reply(number)
    versions = {index: site.emr.entry(index).version for index, _ in people}
    site.emr.written.refusals += [412] * 9
    site.sender.once()
    for before in (True, False):
        site.later(timedelta(minutes=10))
        doomed = WriteBackSender(site.runtime)
        doomed._sinks["emr"] = (site.runtime.feed("emr"), Dying(site, before=before))
        with pytest.raises(Killed):
            doomed.once()
    survivor = WriteBackSender(site.runtime)
    assert survivor.once() == 0, "another process has them until its lease ends"
    site.later(LEASE + timedelta(seconds=1))
    survivor.once()
    assert all(site.emr_permits(index) is False for index, _ in people)
    assert {index: site.emr.entry(index).version - 1 for index, _ in people} == versions
    assert not site.states()[WAITING]


# --- Consents


def test_a_consent_that_is_read_before_the_emr_answered_its_creation_is_ours(consents: Site) -> None:
    index, number = consents.patient()
    consents.reply(number)
    consents.emr.written.refusals += [0] * 20
    consents.sender.once()
    consents.emr.written.refusals.clear()
    assert (len(consents.emr.written.consents), len(consents.states()[WAITING])) == (1, 1)
    consents.pull()
    assert not consents.may_text(index)
    consents.reply(number, "START")
    assert consents.may_text(index)


@pytest.mark.parametrize("status", [409, 412])
def test_a_consent_that_the_emr_refuses_for_now_is_written_later(consents: Site, status: int) -> None:
    _, number = consents.patient()
    consents.reply(number)
    consents.emr.written.refusals.append(status)
    consents.sender.once()
    ((attempts, reason),) = consents.states()[WAITING]
    assert (attempts, str(status) in reason) == (1, True)
    assert not consents.emr.written.consents
    consents.later(timedelta(minutes=5))
    consents.sender.once()
    assert (len(consents.emr.written.consents), consents.states()[WAITING]) == (1, [])


def test_a_412_for_several_consents_of_ours_means_that_the_emr_has_it(consents: Site) -> None:
    _, number = consents.patient()
    consents.reply(number)
    consents.emr.written.refusals += [0] * 20
    consents.sender.once()
    consents.emr.written.refusals[:] = [412]
    consents.later(timedelta(minutes=5))
    consents.sender.once()
    assert (len(consents.emr.written.consents), consents.states()[WAITING]) == (1, [])
    assert len(consents.states()[SENT]) == 1


def test_a_stop_becomes_a_consent_once_and_its_echo_is_unchanged(consents: Site) -> None:
    index, number = consents.patient()
    consents.reply(number)
    consents.emr.written.refusals.append(0)
    consents.sender.once()
    consents.later(timedelta(minutes=5))
    consents.sender.once()
    (one,) = consents.emr.written.consents
    assert (one["status"], one["provision"]["type"], one["patient"]["reference"]) == ("active", "deny", f"Patient/rp-{index}")
    assert not consents.states()[WAITING]
    counts = consents.pull()
    assert set(counts) == {"unchanged"}
    assert not consents.may_text(index)
    consents.reply(number, "START")
    assert consents.may_text(index)


# --- before it is switched on


def test_opt_outs_from_before_are_counted_by_check_config_and_then_written(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(database_url, tmp_path, None) as site:
        index, number = site.patient()
        site.reply(number)
        assert site.sender.once() == 0
        configuration = json.loads(site.file.read_text())
        configuration["sources"]["emr"]["write_back"] = IN_PATIENT
        site.file.write_text(json.dumps(configuration) + "\n")
        cli.run(["-c", str(site.file), "check-config", "--json"])
        found = {one["where"]: one["message"] for one in json.loads(capsys.readouterr().out)["mistakes"]}
        assert "will be written to this EMR: 1." in found["sources.emr.write_back"]
        assert site.emr_permits(index)
        site.runtime.reload(load(site.file, {}))
        site.sender.fill()
        site.sender.fill()
        assert site.sender.once() == 1
        assert site.emr_permits(index) is False
