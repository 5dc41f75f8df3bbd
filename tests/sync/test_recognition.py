"""A file that comes again is recognized line by line; what would have another effect now is read."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from adapters.base import Item, Payload
from adapters.fhir.mapping import FhirMapper
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.domain.patient import Patient, PatientRef
from store.patients.preferences import Preferences
from store.preference import PatientStatements
from store.runs.runs import Journal
from sync.config.settings import Backoff
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.adapters.fhir.made import identifier, patient, settings
from tests.factories import CLINIC, sealing
from tests.fakes import FakeClock

LANE, DNC = Lane("clinic", CLINIC), "https://hospital.example/dnc"


class Counting(FhirMapper):
    """Counts the records that it maps."""

    mapped = 0

    def read(self, payload: Payload) -> list[Item]:
        self.mapped += 1
        return super().read(payload)


class Failing(Counting):
    """Breaks its promise at a glance."""

    def glance(self, payload: Payload) -> PatientStatements | None:
        raise RuntimeError("a mapper should not raise")


class Site:
    def __init__(self, database: Database) -> None:
        sources = (Source("clinic", "Clinic", patient_id=(("GENHOSP", "MR"),)),)
        self.clock, self.store = FakeClock(), Preferences(database, {CLINIC: Enterprise(CLINIC, syncs=True, sources=sources)})
        self.engine = Engine(database, self.store, Journal(database, sealing()), self.clock, Metrics(), Backoff(), batch_size=10)

    def receive(self, *bodies: bytes, by: type[Counting] = Counting, **changes: Any) -> tuple[dict[str, int], int]:
        """The counts of a run over one file, and how many records were mapped."""
        rule = {"from": f"Patient.extension('{DNC}').valueCode", "values": {"Y": "yes", "N": "no"}}
        mapper = by(settings(**({"mapping": {"do_not_contact": rule}} | changes)))
        run = self.engine.feed(LANE, mapper, [Payload(body, "file", self.clock(), self.clock()) for body in bodies])
        return dict(run.counts), mapper.mapped

    def known(self, number: int) -> Patient:
        return self.store.find(CLINIC, PatientRef(value=f"M{number}"))


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


def record(number: int, code: str = "Y", version: int = 1, **more: Any) -> bytes:
    meta = {"versionId": str(version), "lastUpdated": f"2026-10-31T08:00:{version:02d}Z"}
    named = {"id": f"p{number}", "identifier": [identifier(f"M{number}")], "meta": meta}
    return json.dumps(patient(**named, extension=[{"url": DNC, "valueCode": code}], **more)).encode()


def test_a_file_that_comes_again_is_not_mapped_again(site: Site) -> None:
    file = [record(number) for number in range(25)]
    assert site.receive(*file) == ({"applied": 25}, 25)
    before = site.known(3).marks[0].last_heard
    assert site.receive(*file) == ({"unchanged": 25}, 0)
    assert site.known(3).marks[0].last_heard > before
    assert site.known(3).version == 1


def test_records_without_a_time_of_their_own_are_confirmed_for_the_time_of_the_file(site: Site) -> None:
    file = [json.dumps(patient(meta={}, extension=[{"url": DNC, "valueCode": "Y"}])).encode()]
    site.receive(*file)
    before = site.known(1).preferences["do_not_contact"].assertion.effective
    site.clock.now += timedelta(days=1)
    assert site.receive(*file) == ({"unchanged": 1}, 0)
    after = site.known(1).preferences["do_not_contact"].assertion.effective
    assert after.latest >= before.latest + timedelta(days=1)


def test_what_changed_among_them_is_mapped(site: Site) -> None:
    site.receive(*(record(number) for number in range(20)))
    file = [record(number, "N", 2) if number == 7 else record(number) for number in range(20)]
    counts, mapped = site.receive(*file)
    assert (mapped, sum(counts.values()), counts["unchanged"]) == (1, 20, 19)


def test_an_old_line_after_a_new_one_is_read_in_its_turn(site: Site) -> None:
    site.receive(record(1, "N", 1))
    assert site.receive(record(1, "Y", 2), record(1, "N", 1))[1] == 2
    assert site.known(1).contact.do_not_contact == "yes"


def test_a_changed_mapping_reads_the_same_file(site: Site) -> None:
    site.receive(record(1, "N"))
    rule = {"from": f"Patient.extension('{DNC}').valueCode", "values": {"N": "yes"}}
    assert site.receive(record(1, "N"), mapping={"do_not_contact": rule}) == ({"applied": 1}, 1)
    assert site.known(1).contact.do_not_contact == "yes"


def test_a_record_that_could_not_be_read_in_part_is_rejected_in_part_each_time(site: Site) -> None:
    for _ in range(2):
        assert site.receive(record(1, "?"))[1] == 1
        assert site.known(1).contact.unreadable == ("do_not_contact",)


def test_rows_from_before_repeat_keys_were_kept_get_theirs_with_the_next_file(site: Site) -> None:
    site.receive(record(1))
    with site.engine.database.write(CLINIC) as transaction:
        transaction.exec_driver_sql("UPDATE assertions SET content = substr(content, 1, 24)")
    assert [site.receive(record(1))[1] for _ in range(2)] == [1, 0]


def test_a_phone_that_ended_yesterday_is_gone_although_the_file_is_the_same(site: Site) -> None:
    phone = {"system": "phone", "value": "+12175550101", "period": {"end": site.clock.now.date().isoformat()}}
    site.receive(record(1, telecom=[phone]))
    assert site.receive(record(1, telecom=[phone]))[1] == 0
    site.clock.now += timedelta(days=1)
    assert site.receive(record(1, telecom=[phone]))[1] == 1
    assert site.known(1).contact.phones == ()


def test_a_repeat_is_forgotten_if_a_later_record_of_the_file_refuses_for_its_patient(site: Site) -> None:
    """A record that names two known patients refuses for both, also where one of them was just recognized or got a key."""
    site.receive(record(1, "N"), record(2, "N"))
    both = {"id": "p2", "identifier": [identifier("M1")], "meta": {"lastUpdated": "2026-10-31T09:00:00Z"}}
    conflict = json.dumps(patient(**both, extension=[{"url": DNC, "valueCode": "Y"}])).encode()
    for _ in range(2):
        assert site.receive(record(1, "N"), conflict)[0]["rejected"] == 1
        assert [site.known(number).contact.do_not_contact for number in (1, 2)] == ["yes", "yes"]
        assert site.receive(record(1, "N"))[1] == 1
        assert site.known(1).contact.do_not_contact == "yes"


def test_a_record_that_names_two_patients_is_rejected_and_refuses_for_both_each_time_it_comes(site: Site) -> None:
    """It is not recognized by what it left with one of them, of whom nothing but refusals is known."""

    def one(code: str, meta: dict[str, str], *numbers: int) -> bytes:
        named = {"id": "p1", "identifier": [identifier(f"M{number}") for number in numbers], "meta": meta}
        return json.dumps(patient(**named, extension=[{"url": DNC, "valueCode": code}])).encode()

    site.receive(one("Y", {}, 1, 2))
    for _ in range(3):
        site.clock.now += timedelta(days=1)
        site.receive(one("N", {"lastUpdated": site.clock.now.isoformat()}, 1))
        assert [site.known(number).contact.do_not_contact for number in (1, 2)] == ["no", "yes"]
        site.clock.now += timedelta(days=1)
        assert site.receive(one("Y", {}, 2))[0] == {"rejected": 1}
        assert [site.known(number).contact.do_not_contact for number in (1, 2)] == ["yes", "yes"]


def test_a_mapper_that_fails_at_a_glance_reads_the_record(site: Site) -> None:
    assert [site.receive(record(1), by=Failing) for _ in range(2)] == [({"applied": 1}, 1), ({"unchanged": 1}, 1)]
