"""The client's replica answers like the service, through a real server, and refuses whatever it cannot know."""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from emr_sync_client import Ask, Decision, Replica, SenderClient, Who
from emr_sync_client.replica import SETTLE_SECONDS
from store import times
from store.domain.ids import shown
from store.patients.address_opt_outs import AskedOptOut, record_opt_out
from store.preference import Identifier, PatientMerge, PatientStatements, Phone, Statement
from tests.store.web.conftest import CELL, LINE, NOW, Service

CHANGES = int(os.environ.get("EMR_SYNC_REPLICA_CHANGES", "1000"))
ROUND, PATIENTS = 250, 30
OTHER_LINE = "+12175550191"
NUMBERS = [f"+121755502{place:02}" for place in range(20)]
VALUES = {
    "do_not_contact": ("yes", "no", "no", None),
    "preferred_method": ("sms", "voice", "email", "none", None, None),
    "consent.sms": ("granted", "denied", None, None),
    "consent.voice": ("granted", "denied", None),
    "deceased": (True, None, None, None, None),
    "language": ("en", "es"),
}


class Clock:
    """The replica's clock: the test moves it."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Steady(Clock):
    """The replica's clock that nobody sets."""


@pytest.fixture
def client(fresh: Service) -> Iterator[SenderClient]:
    found = SenderClient(f"http://127.0.0.1:{fresh.port}", fresh.token("general", "sender"), timeout=30)
    yield found
    found.close()


@pytest.fixture
def replica(client: SenderClient, clock: Clock, tmp_path: Path) -> Replica:
    return Replica(tmp_path / "replica.db", client, freshness=60, clock=clock)


def settled(replica: Replica, clock: Clock) -> bool:
    replica.sync()
    clock.now += SETTLE_SECONDS + 1
    return replica.sync()


def ask(client: SenderClient, value: str = "MRN1", line: str | None = LINE) -> Ask:
    patient = client.decide(Ask(Who(value), "broadcast", ["sms"])).patient
    assert patient is not None
    return Ask(Who(id=patient), "broadcast", ["sms"], line=line)


def test_it_answers_what_it_watches_until_its_freshness_is_over(
    replica: Replica, client: SenderClient, clock: Clock, tmp_path: Path
) -> None:
    question = ask(client)
    assert replica.decide(question).reasons == ("not_in_replica",)
    replica.watch([question])
    assert replica.decide(question).reasons == ("replica_stale",), "watching is not asking"
    assert settled(replica, clock)
    assert (replica.decide(question).decision, replica.decide(question).address) == ("send", CELL)
    clock.now += 60
    assert replica.decide(question).may_send
    clock.now += 1
    assert replica.decide(question).reasons == ("replica_stale",)
    clock.now -= 1_000
    assert replica.decide(question).reasons == ("replica_stale",), "a clock that was set back proves nothing"
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_a_clock_that_is_set_back_does_not_make_an_old_answer_fresh(client: SenderClient, clock: Clock, tmp_path: Path) -> None:
    steady = Steady()
    replica = Replica(tmp_path / "replica.db", client, freshness=60, clock=clock, steady=steady)
    question = ask(client)
    replica.watch([question])
    assert settled(replica, clock)
    assert replica.decide(question).may_send
    steady.now += 61
    assert replica.decide(question).reasons == ("replica_stale",), "the wall clock still shows the time of the last contact"


def test_a_clock_that_was_ahead_does_not_stop_the_replica(replica: Replica, client: SenderClient, clock: Clock) -> None:
    question = ask(client)
    replica.watch([question])
    clock.now += 86_400
    assert settled(replica, clock)
    clock.now -= 86_400
    assert not replica.sync(), "the rules may have changed just now"
    assert settled(replica, clock)
    assert replica.decide(question).may_send


def test_it_refuses_when_the_service_is_gone_and_goes_on_when_it_is_back(client: SenderClient, clock: Clock, tmp_path: Path) -> None:
    question, file = ask(client), tmp_path / "replica.db"
    with_service, without = (
        Replica(file, one, freshness=60, clock=clock) for one in (client, SenderClient("http://127.0.0.1:9", "key", timeout=0.2))
    )
    with_service.watch([question])
    assert settled(with_service, clock)
    clock.now += 61
    assert not without.sync()
    assert not without.decide(question).may_send
    assert with_service.sync()
    assert without.decide(question).may_send


def test_a_change_is_followed_and_one_of_the_rules_too(replica: Replica, client: SenderClient, fresh: Service, clock: Clock) -> None:
    question = ask(client)
    replica.watch([question])
    assert settled(replica, clock)
    fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "STOP"})
    assert replica.sync()
    assert "sms_opted_out" in replica.decide(question).reasons
    fresh.call("PUT", "/v1/settings", {"when_stale": "refuse"}, role="enterprise")
    assert not replica.sync(), "the service may still decide by the former rules"
    time.sleep(1.2)
    clock.now += SETTLE_SECONDS + 1
    assert replica.sync()


def test_a_restarted_feed_starts_again(replica: Replica, client: SenderClient, fresh: Service, clock: Clock) -> None:
    question = ask(client)
    replica.watch([question])
    assert settled(replica, clock)
    with fresh.store.database.write("general") as transaction:  # as after a restore from a backup of before these changes
        fresh.store.database._cursor(transaction, "DELETE FROM changes", [])
    assert replica.sync()
    assert replica.decide(question) == client.decide(question) or replica.decide(question).may_send


@pytest.mark.parametrize("bad", [Who("MRN1"), Who("MRN1", id="pt_0"), Who()])
def test_a_question_that_it_could_not_follow_is_refused(replica: Replica, bad: Who) -> None:
    for call in (replica.watch, lambda asks: replica.decide(asks[0])):
        with pytest.raises(ValueError, match="store's id"):
            call([Ask(bad, "broadcast", ["sms"])])
    with pytest.raises(ValueError, match="as of now"):
        replica.decide(Ask(Who(id="pt_0"), "broadcast", ["sms"], at=NOW))


@pytest.mark.timeout(900)
def test_it_agrees_with_the_service_over_random_changes(replica: Replica, client: SenderClient, fresh: Service, clock: Clock) -> None:
    chance = random.Random(20261130)
    hospital = Hospital(fresh, chance)
    questions = hospital.questions(client)
    replica.watch(questions)
    assert settled(replica, clock)
    permitted = refused = 0
    for number in range(CHANGES // ROUND):
        hospital.change(ROUND)
        if number % 10 == 5:
            fresh.call("PUT", "/v1/settings", {"when_preferred_impossible": chance.choice(["next", "refuse"])}, role="enterprise")
            replica.sync()
            time.sleep(1.2)  # the service reads its policies once a second
            clock.now += SETTLE_SECONDS + 1
        assert replica.sync()
        for question, decision in client.decide_many(questions):
            assert told(replica.decide(question)) == told(decision)
            permitted, refused = permitted + decision.may_send, refused + (not decision.may_send)
        clock.now += 5
    assert min(permitted, refused) > CHANGES // 100, "both answers were compared"


def told(decision: Decision) -> tuple[object, ...]:
    return decision.decision, decision.channel, decision.address, decision.reasons, decision.patient


class Hospital:
    """Patients whose preferences change at random, by the EMR, by replies, by reported opt-outs and by merges."""

    def __init__(self, service: Service, chance: random.Random) -> None:
        self.service, self.store, self.chance, self.second = service, service.store, chance, 0
        self.apply([self.stated(f"R{number}", "do_not_contact", "no") for number in range(PATIENTS)])

    def questions(self, client: SenderClient) -> list[Ask]:
        found = []
        for number in range(PATIENTS):
            patient = client.decide(Ask(Who(f"R{number}"), "manual", ["sms"])).patient
            kinds = (
                ("automation", ["sms", "voice", "email"], None),
                ("broadcast", ["sms", "voice"], OTHER_LINE),
                ("campaign", ["sms"], LINE),
            )
            found += [Ask(Who(id=patient), kind, channels, line) for kind, channels, line in kinds]
        return [*found, Ask(Who(id=shown(10**6)), "manual", ["sms"])]

    def change(self, count: int) -> None:
        items: list[PatientStatements | PatientMerge] = []
        for _ in range(count):
            kind = self.chance.random()
            if kind < 0.75:
                items.append(self.anything())
            elif kind < 0.752:
                items.append(self.merge())
            else:
                self.apply(items)
                items = []
                self.reply() if kind < 0.99 else self.opt_out()
        self.apply(items)

    def apply(self, items: list[PatientStatements | PatientMerge]) -> None:
        if items:
            with self.store.database.write("general") as transaction:
                self.store.apply_many(transaction, "general", "genhosp-adt", items, now=NOW)

    def anything(self) -> PatientStatements:
        patient = f"R{self.chance.randrange(PATIENTS)}"
        if self.chance.random() < 0.3:
            numbers = self.chance.sample(NUMBERS, self.chance.randrange(1, 4))
            return self.stated(patient, "phones", tuple(Phone(one, "cell", one, textable=True) for one in numbers))
        name = self.chance.choice(list(VALUES))
        return self.stated(patient, name, self.chance.choice(VALUES[name]))

    def stated(self, patient: str, name: str, value: object) -> PatientStatements:
        self.second += 1
        return PatientStatements((Identifier("GENHOSP", "MR", patient),), {name: Statement(value, "PID")}, self.at(), f"E{self.second}")

    def merge(self) -> PatientMerge:
        self.second += 1
        survivor, merged = ((Identifier("GENHOSP", "MR", f"R{one}"),) for one in self.chance.sample(range(8), 2))
        return PatientMerge(survivor, merged, self.at(), f"E{self.second}")

    def at(self) -> times.Time:
        return times.at(NOW - timedelta(days=30) + timedelta(seconds=self.second))

    def reply(self) -> None:
        (body,) = self.chance.choices(["STOP", "START", "STOPALL", "stop by"], [40, 100, 1, 4])
        line = self.chance.choice([LINE, OTHER_LINE])
        self.store.record_reply("general", line, self.chance.choice(NUMBERS), body, None, NOW)

    def opt_out(self) -> None:
        asked = AskedOptOut("voice", self.chance.choice(NUMBERS[:3]), "key_press")
        record_opt_out(self.store, "general", asked, "sender:x", NOW)
