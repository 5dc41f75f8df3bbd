"""Sets that wait for a person: where they are shown, their age, and every way in which they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.base import Payload
from store.db.database import Database
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.holds.review import AwaitingReview
from store.web.api.health import Health, Readiness
from sync.config import load
from sync.housekeeping import chores, restatement
from sync.measured import Measured
from sync.runtime import Runtime, adapter, lane
from tests.fakes import FakeClock
from tests.sync.clinic import CONFIG, KEYS, adt

GUARDED = CONFIG.replace("    default_region: US\n", "    default_region: US\n    safeguard: {floor: 0, percent: 0, expires: 2d}\n")
BEGIN = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
PERSON = Actor("operator", "kim")


class Clinic:
    """A live feed of two patients who refused contact, under a safeguard with limit 0."""

    def __init__(self, url: str, folder: Path) -> None:
        file = folder / "config.yaml"
        file.write_text(f"database: {url}\n{KEYS}{GUARDED}")
        self.clock = FakeClock(BEGIN)
        self.runtime = Runtime(load(file, {}), Database.open(url), self.clock)
        self.runtime.propose()
        self.minute = 0
        self.send(adt("MRN1"), adt("MRN2"))

    def send(self, *texts: str) -> list[str]:
        """Sends one group of messages, newer than all earlier ones."""
        self.minute += 1
        feed = self.runtime.feed("adt")
        sent = [text.replace("0830", f"08{self.minute:02}").replace("C1", f"C{self.minute}{place}") for place, text in enumerate(texts)]
        payloads = [Payload(text.encode(), "test:1", self.clock()) for text in sent]
        return [one.outcome for one in self.runtime.engine.ingest(lane(feed), adapter(feed).mapper, payloads)]

    def waiting(self) -> list[AwaitingReview]:
        return self.runtime.verdicts.awaiting_review()

    def statuses(self) -> list[tuple[str, str | None]]:
        return [(run.status, run.error) for run in self.runtime.journal.runs(source="adt")]

    def ready(self) -> Readiness:
        return Health(self.runtime.preferences, None, self.clock).readiness()

    def metrics(self) -> str:
        return self.runtime.metrics.text(Measured(held=self.waiting())).decode()

    def dnc(self, mrn: str) -> str:
        return self.runtime.preferences.find("clinic", PatientRef(value=mrn)).contact.do_not_contact


@pytest.fixture
def clinic(database_url: str, tmp_path: Path) -> Iterator[Clinic]:
    found = Clinic(database_url, tmp_path)
    yield found
    found.runtime.close()


FREE = (adt("MRN1", dnc="OK"), adt("MRN2", dnc="OK"))


def test_a_waiting_set_is_shown_everywhere_with_count_and_age(clinic: Clinic) -> None:
    assert (clinic.ready().degraded, clinic.waiting()) == (False, [])
    assert "emr_sync_held_patients{" not in clinic.metrics()
    assert clinic.send(*FREE) == ["held", "held"]
    (one,) = clinic.waiting()
    assert (one.enterprise, one.source, one.kind, one.patients) == ("clinic", "adt", "live", 2)
    assert BEGIN < one.since < clinic.clock()
    ready = clinic.ready()
    assert (ready.ready, ready.degraded, [(held.run, held.patients, held.since) for held in ready.held]) == (
        True,
        True,
        [(one.run, 2, one.since)],
    )
    metrics = clinic.metrics()
    assert 'emr_sync_held_patients{source="adt"} 2.0' in metrics
    since = metrics.partition('emr_sync_held_since_timestamp_seconds{source="adt"} ')[2].partition("\n")[0]
    assert float(since) == one.since.timestamp()


def test_the_age_is_that_of_the_oldest_waiting_change(clinic: Clinic) -> None:
    clinic.send(adt("MRN1", dnc="OK"))
    (first,) = clinic.waiting()
    clinic.clock.now += timedelta(hours=3)
    clinic.send(adt("MRN2", dnc="OK"))
    assert [one.since for one in clinic.waiting()] == [first.since]
    clinic.send(adt("MRN1"))
    (left,) = clinic.waiting()
    assert (left.patients, left.since - first.since > timedelta(hours=3)) == (1, True)


def test_newer_refusals_close_the_set_without_a_run_or_a_decision(clinic: Clinic) -> None:
    clinic.send(*FREE)
    clinic.send(adt("MRN1"), adt("MRN2"))
    assert (clinic.waiting(), clinic.ready().degraded) == ([], False)
    assert clinic.statuses() == [("done", "the held changes were replaced by newer evidence")]
    assert (clinic.dnc("MRN1"), clinic.dnc("MRN2")) == ("yes", "yes")


def test_the_set_expires_without_a_run_and_is_in_the_audit_log(clinic: Clinic) -> None:
    clinic.send(*FREE)
    expire = chores(clinic.runtime)["held sets expired"]
    clinic.clock.now += timedelta(hours=47)
    assert (expire(), len(clinic.waiting())) == (0, 1)
    clinic.clock.now += timedelta(hours=2)
    assert (expire(), expire(), clinic.waiting(), clinic.ready().degraded) == (1, 0, [], False)
    (verdict,) = clinic.runtime.verdicts.show(clinic.runtime.journal.runs(source="adt")[0].id).verdicts
    assert (verdict.verdict, verdict.actor, verdict.patients) == ("expired", "", 2)
    (line,) = [one.line for one in clinic.runtime.verdicts.audit.newest("clinic") if one.line.action == "expired_held_changes"]
    assert line.actor == "expiry"
    assert clinic.dnc("MRN1") == "yes"
    assert clinic.send(adt("MRN1", dnc="OK")) == ["held"], "expired means rejected: the same statement is held again"


def test_a_new_statement_restarts_the_waiting_time(clinic: Clinic) -> None:
    clinic.send(adt("MRN1", dnc="OK"))
    clinic.clock.now += timedelta(hours=47)
    clinic.send(adt("MRN2", dnc="OK"))
    clinic.clock.now += timedelta(hours=2)
    assert chores(clinic.runtime)["held sets expired"]() == 0, "the newest change of the set is two hours old"


def test_an_approved_configuration_appears_in_the_change_feed(clinic: Clinic, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(file.read_text().replace("floor: 0", "floor: 9").replace("preferences: true", "preferences: false"))
    runtime = Runtime.open(load(file, {}))
    last = runtime.preferences.changes("clinic", 0, 100)[-1].seq
    assert restatement(runtime)["values in force recomputed"]() == 2
    assert len(runtime.preferences.changes("clinic", last, 100)) == 2
    runtime.close()


def test_a_new_set_starts_after_a_decision(clinic: Clinic) -> None:
    clinic.send(adt("MRN1", dnc="OK"))
    (first,) = clinic.waiting()
    clinic.runtime.verdicts.reject(first.run, PERSON, clinic.clock())
    clinic.send(adt("MRN2", dnc="OK"))
    (second,) = clinic.waiting()
    assert second.run != first.run
    assert second.patients == 1
