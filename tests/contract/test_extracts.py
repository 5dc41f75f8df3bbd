"""Delimited extracts in a store: deltas, snapshots, the safeguard, resuming after a crash between commits."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Fetch
from adapters.files.adapter import DelimitedAdapter
from store.db.database import Database
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.runs.runs import Journal, Run
from sync.config import Backoff
from sync.config.settings import SafeguardRule
from sync.engine import Engine
from sync.metrics import Metrics
from sync.replay import replay
from sync.run import Lane
from tests.adapters.files.made import DNC, LONG, SMS_ROW, WIDE, names, settings, write
from tests.factories import CLINIC, FEED, clinic, sealing

LANE = Lane(FEED, CLINIC)
RULE = SafeguardRule(floor=2, percent=0)
START = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
PATIENTS = [f"M{number}" for number in range(9)]


class Site:
    """A drop folder, and an engine that reads it into a store. Every file is an hour older than the clock."""

    def __init__(self, database: Database, folder: Path, tables: dict[str, Any], mapping: dict[str, Any], **options: Any) -> None:
        self.folder, self.now = folder, START
        made = settings(tables, mapping, path=str(folder), **options)
        self.adapter = DelimitedAdapter(made, clock=self.clock)
        self.store, self.journal = Preferences(database, {CLINIC: clinic()}), Journal(database, sealing())
        backoff = Backoff(attempts=2, first_wait=timedelta(0), longest_wait=timedelta(seconds=1))
        self.engine = Engine(database, self.store, self.journal, self.clock, Metrics(), backoff, batch_size=500, safeguards={CLINIC: RULE})

    def clock(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def run(self, **request: Any) -> Run:
        self.now += timedelta(minutes=1)
        return self.engine.run(LANE, self.adapter, Fetch(**request), "incremental")

    def known(self, attribute: str = "do_not_contact") -> dict[str, Any]:
        found = {}
        for name in PATIENTS:
            patient = self.store.find(CLINIC, PatientRef(authority="GENHOSP", value=name))
            found[name] = patient.preferences[attribute].value if attribute in patient.preferences else None
        return found

    def reasons(self) -> list[str]:
        return sorted(one.reason for one in self.journal.rejections(source=FEED))


Build = Callable[..., Site]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


@pytest.fixture
def build(database: Database, folder: Path) -> Build:
    return lambda tables=WIDE, mapping=DNC, **options: Site(database, folder, tables, mapping, **options)


def wide(folder: Path, day: int, **answers: str) -> None:
    write(folder, f"wide_202611{day:02}.csv", "ID,DNC", *(f"{name},{answer}" for name, answer in answers.items()))


EVERYBODY = dict.fromkeys(PATIENTS, "Y")


def test_a_delta_changes_the_patients_in_it_and_no_other(build: Build, folder: Path) -> None:
    site = build()
    wide(folder, 1, **EVERYBODY)
    assert site.run().counts == {"applied": 9}
    wide(folder, 2, M1="N", M2="Y")
    run = site.run()
    assert (run.status, run.counts, run.note) == ("done", {"applied": 1, "unchanged": 1}, None)
    assert site.known() == dict.fromkeys(PATIENTS, "yes") | {"M1": "no"}


def test_a_late_delta_is_not_newer_than_what_it_comes_after(build: Build, folder: Path) -> None:
    site = build()
    wide(folder, 1, **EVERYBODY)
    wide(folder, 3, M1="N", M2="Y")
    site.run()
    wide(folder, 2, M1="Y", M2="N")
    assert site.run().counts == {"stale": 2}
    assert site.known() == dict.fromkeys(PATIENTS, "yes") | {"M1": "no"}


def test_a_patient_who_is_missing_in_a_snapshot_is_reported_and_keeps_everything(build: Build, folder: Path) -> None:
    site = build(semantics="snapshot")
    wide(folder, 1, **EVERYBODY)
    assert site.run().note is None
    before = site.known()
    wide(folder, 2, **{name: answer for name, answer in EVERYBODY.items() if name not in ("M3", "M4")})
    run = site.run()
    assert (run.status, run.counts) == ("done", {"unchanged": 7})
    assert run.note == "2 of 9 patients of the source are not in its list of all patients; nothing was changed for them"
    assert site.known() == before


def test_a_snapshot_that_lacks_too_many_refuses_at_once_and_permits_nothing_by_itself(build: Build, folder: Path) -> None:
    site = build(semantics="snapshot")
    wide(folder, 1, **(EVERYBODY | {"M2": "N"}))
    site.run()
    wide(folder, 2, M1="N", M2="Y")
    run = site.run()
    assert (run.status, run.counts) == ("held", {"applied": 1, "held": 1})
    assert "7 of 9 patients of the source are not in its list" in str(run.error)
    assert site.known() == dict.fromkeys(PATIENTS, "yes"), "M2 refuses at once, M1 waits for a person"
    HeldReview(site.store, site.journal).approve(run.id, Actor("operator", "kim"), site.clock())
    assert site.known() == dict.fromkeys(PATIENTS, "yes") | {"M1": "no"}


def test_a_stale_or_rejected_record_of_a_snapshot_is_not_missing(build: Build, folder: Path) -> None:
    site = build(semantics="snapshot")
    wide(folder, 5, **EVERYBODY)
    site.run()
    wide(folder, 4, **(EVERYBODY | {"M1": "N", "M2": "?"}))
    run = site.run()
    assert run.counts["stale"] >= 1
    assert run.note is None


def test_an_empty_snapshot_is_no_statement_about_anybody(build: Build, folder: Path) -> None:
    site = build(semantics="snapshot")
    wide(folder, 1, **EVERYBODY)
    site.run()
    before = site.known()
    wide(folder, 2)
    run = site.run()
    assert (run.counts, str(run.note).startswith("9 of 9 patients")) == ({}, True)
    assert site.known() == before


def test_a_run_with_a_rejected_set_fails_after_everything_else_was_read(build: Build, folder: Path) -> None:
    site = build(trailer={"starts": "TRL", "field": 2})
    write(folder, "wide_20261101.csv", "ID,DNC", "M1,N", "TRL,7")
    write(folder, "wide_20261102.csv", "ID,DNC", *(f"{name},Y" for name in PATIENTS), "TRL,9")
    run = site.run()
    assert (run.status, run.counts) == ("failed", {"applied": 9, "rejected": 1})
    assert run.error == "set 2026-11-01 was rejected (trailer_count_mismatch). Everything else was applied"
    assert site.known() == dict.fromkeys(PATIENTS, "yes")
    assert site.reasons() == ["trailer_count_mismatch"]
    assert site.run().status == "done", "it is reported once, and its rejection stays"
    write(folder, "wide_20261101.csv", "ID,DNC", "M1,N", "TRL,1")
    assert site.run().counts == {"stale": 1}


def test_a_bad_row_marks_its_patient_until_a_later_row_can_be_read(build: Build, folder: Path) -> None:
    site = build()
    wide(folder, 1, **(EVERYBODY | {"M1": "N"}))
    site.run()
    write(folder, "wide_20261102.csv", "ID,DNC", 'M1,"Y')
    assert site.run().counts == {"rejected": 1, "applied": 1}
    marked = site.store.find(CLINIC, PatientRef(authority="GENHOSP", value="M1"))
    assert [one.attribute for one in marked.unreadable] == ["do_not_contact"]
    wide(folder, 3, M1="Y")
    site.run()
    assert site.store.find(CLINIC, PatientRef(authority="GENHOSP", value="M1")).unreadable == ()
    assert site.known() == dict.fromkeys(PATIENTS, "yes")


def test_a_lost_row_of_a_long_file_permits_nothing_that_was_refused(build: Build, folder: Path) -> None:
    site = build(LONG, SMS_ROW)
    header = "ID,CONCEPT,ANSWER"
    write(folder, "long_20261101.csv", header, *(f"{name},SMS,N" for name in PATIENTS))
    site.run()
    write(folder, "long_20261102.csv", header, "M1,SMS,Y", "M2,SMS,Y", ",SMS,N")
    site.run()
    assert site.known("consent.sms") == dict.fromkeys(PATIENTS, "denied")
    write(folder, "long_20261103.csv", header, "M1,SMS,Y", "M2,SMS,N")
    site.run()
    assert site.known("consent.sms") == dict.fromkeys(PATIENTS, "denied") | {"M1": "granted"}


def test_a_rejected_record_is_replayed_with_the_time_of_its_file(build: Build, folder: Path) -> None:
    site = build(mapping={"do_not_contact": {"from": "DNC", "values": {"Y": "yes"}}})
    wide(folder, 1, **EVERYBODY)
    wide(folder, 2, M1="N", M2="N")
    wide(folder, 3, M2="Y")
    site.run()
    assert site.reasons() == ["code_unmapped", "code_unmapped"]
    fixed = DelimitedAdapter(settings(WIDE, DNC, path=str(folder)))
    for one in site.journal.rejections(source=FEED):
        replay(site.engine, LANE, fixed.mapper, site.journal.rejection(one.id))
    assert site.known() == dict.fromkeys(PATIENTS, "yes") | {"M1": "no"}, "M2 refused a day later"


def test_a_run_that_stops_continues_in_the_middle_of_a_set(build: Build, folder: Path) -> None:
    site = build(LONG, SMS_ROW)
    rows = [f"X{number:04},SMS,N" for number in range(1100)]
    write(folder, "long_20261101.csv", "ID,CONCEPT,ANSWER", *rows, *(f"{name},SMS,N" for name in PATIENTS))

    def stop(done: int, total: int | None, what: str = "") -> None:
        if done:
            site.engine.stop.set()

    first = site.engine.run(LANE, site.adapter, Fetch(), "incremental", stop)
    assert (first.status, first.counts) == ("stopped", {"applied": 1000})
    assert names(folder) == ["long_20261101.csv"]
    site.engine.stop.clear()
    assert site.run().counts == {"applied": 109}, "nothing comes twice"
    assert names(folder / "done") == ["long_20261101.csv"]


def test_no_data_for_too_long_does_not_look_like_data(build: Build, folder: Path, database: Database) -> None:
    """A folder without a complete set leaves the source as old as it is."""
    site = build(done="{file}.done")
    wide(folder, 1, **EVERYBODY)
    run = site.run()
    assert (run.status, run.counts, run.note) == ("done", {}, "the set 2026-11-01 waits for done")
    assert site.journal.last_heard() == {}
    os.utime(folder / "wide_20261101.csv", (0, 0))
    assert site.run().error == "the set 2026-11-01 waits for done. Everything else was applied"
