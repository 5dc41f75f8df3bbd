"""``resync`` against the rehearsal EMR, over real sockets: complete runs, with faults."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from store.db.database import Database
from store.runs import source_checks
from store.runs.source_stats import Arrivals
from sync.demo import ENTERPRISE, FHIR, configuration
from tests.sync.conftest import EmrSync, Ended

PATIENTS = 30


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=PATIENTS, seed=5) as running:
        yield running


@pytest.fixture(autouse=True)
def config(emr: RehearsalEmr, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a page size of ten, so that a run has several pages."""
    file = configuration(emr, tmp_path)
    text = file.read_text().replace("sqlite:///demo.db", database_url)
    text = text.replace('"adapter": "fhir.rest",', '"adapter": "fhir.rest", "page_size": 10,')
    file.write_text(text.replace('"logs":', '"retry": {"first_wait": "0.01s", "attempts": 2}, "logs":'))
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    return file


def applied(ended: Ended) -> int:
    return ended.value["counts"]["applied"]


def test_a_second_run_reads_only_changes(emr: RehearsalEmr, emr_sync: EmrSync) -> None:
    assert applied(emr_sync("resync", FHIR, "--json")) == PATIENTS
    changed = len(emr.tick())
    again = emr_sync("resync", FHIR, "--json").value["counts"]
    assert again["applied"] == changed
    assert emr_sync("resync", FHIR, "--full", "--json").value["counts"]["unchanged"] == PATIENTS


def test_one_patient_is_read_by_the_sources_identifier(emr: RehearsalEmr, emr_sync: EmrSync) -> None:
    mrn = emr.entry(4).person.mrn
    assert applied(emr_sync("resync", FHIR, "--patient", mrn, "--json")) == 1
    assert emr_sync("patient", mrn, "--json").value["identifiers"][0]["authority"] == "GENHOSP"
    assert applied(emr_sync("resync", FHIR, "--json")) == PATIENTS - 1  # the cursor had not moved


def test_a_dry_run_shows_the_difference_and_applies_nothing(emr: RehearsalEmr, emr_sync: EmrSync) -> None:
    shown = emr_sync("resync", FHIR, "--dry-run", "--json").value
    assert shown["counts"]["applied"] == PATIENTS
    assert {change["attribute"] for change in shown["changes"]} >= {"do_not_contact", "phones"}
    assert emr_sync("runs", "--json").value == []
    assert emr_sync("patient", emr.entry(0).person.mrn).code == 1


def test_a_full_dry_run_is_stored_as_comparison_until_the_next_full_run(emr: RehearsalEmr, emr_sync: EmrSync, database: Database) -> None:
    emr_sync("resync", FHIR, "--json")
    assert source_checks.newest(database, ENTERPRISE, FHIR) is None
    changed = len(emr.tick())
    emr_sync("resync", FHIR, "--dry-run", "--json")
    assert source_checks.newest(database, ENTERPRISE, FHIR) is None
    shown = emr_sync("resync", FHIR, "--full", "--dry-run", "--json").value
    found = source_checks.newest(database, ENTERPRISE, FHIR)
    assert found is not None
    assert (found.way, found.agreed, found.differed, found.compared) == (source_checks.DRY, PATIENTS - changed, changed, PATIENTS)
    assert (found.more, found.less) == (shown["flips"]["more_contactable"], shown["flips"]["less_contactable"])
    emr_sync("resync", FHIR, "--full", "--json")
    emr_sync("resync", FHIR, "--full", "--json")
    found = source_checks.newest(database, ENTERPRISE, FHIR)
    assert found is not None
    assert (found.way, found.agreed, found.percent) == (source_checks.FULL, PATIENTS, 100.0)


def test_an_aborted_or_repeated_read_is_not_a_comparison(emr: RehearsalEmr, emr_sync: EmrSync, database: Database) -> None:
    emr_sync("resync", FHIR, "--json")
    emr.faults.announce_more = 2
    shown = emr_sync("resync", FHIR, "--full", "--dry-run", "--json").value
    assert "announced" in shown["note"]
    assert emr_sync("resync", FHIR, "--full", "--json").code == 1
    emr.faults.announce_more = 0
    emr.faults.slip()
    ended = emr_sync("resync", FHIR, "--full", "--json")
    assert ended.value["note"].startswith("read again")
    assert ended.value["error"] is None
    assert source_checks.newest(database, ENTERPRISE, FHIR) is None
    emr_sync("resync", FHIR, "--full", "--json")
    found = source_checks.newest(database, ENTERPRISE, FHIR)
    assert found is not None
    assert (found.compared, found.percent) == (PATIENTS, 100.0)


def test_the_text_output_of_a_run_lists_its_notes(emr: RehearsalEmr, emr_sync: EmrSync) -> None:
    emr.faults.slip()
    ended = emr_sync("resync", FHIR)
    assert ended.code == 0
    assert "read again after an incomplete response" in ended.err
    emr.faults.announce_more = 2
    ended = emr_sync("resync", FHIR, "--full")
    assert ended.code == 1
    assert f"announced {PATIENTS + 2} Patient records but sent {PATIENTS}" in ended.err
    assert f"announced {PATIENTS + 2}" in emr_sync("resync", FHIR, "--full", "--dry-run").err


def test_intake_is_counted_by_the_hour_except_dry_runs(emr_sync: EmrSync, database: Database) -> None:
    emr_sync("resync", FHIR, "--dry-run", "--json")
    emr_sync("resync", FHIR, "--json")
    hours = Arrivals(database).hours(ENTERPRISE, FHIR, now=datetime.now(UTC), count=2)
    assert (sum(hour.records for hour in hours), sum(hour.news for hour in hours)) == (PATIENTS, PATIENTS)


def test_transient_faults_are_retried(emr: RehearsalEmr, emr_sync: EmrSync) -> None:
    emr.faults.unauthorized()
    emr.faults.throttle(retry_after="0")
    emr.faults.succeed()
    emr.faults.cut()
    ended = emr_sync("resync", FHIR, "--json")
    assert (ended.code, ended.value["status"]) == (0, "done")
    assert sum(ended.value["counts"].values()) >= PATIENTS
    assert emr_sync("resync", FHIR, "--full", "--json").value["counts"]["unchanged"] == PATIENTS


def test_a_broken_next_link_fails_the_run_and_keeps_the_cursor(emr: RehearsalEmr, emr_sync: EmrSync) -> None:
    emr.faults.break_next_links = True
    ended = emr_sync("resync", FHIR, "--json")
    assert (ended.code, ended.value["status"]) == (1, "failed")
    assert ended.err.startswith(f"{FHIR}: ")
    emr.faults.break_next_links = False
    counts = emr_sync("resync", FHIR, "--json").value["counts"]
    assert counts["applied"] + counts["unchanged"] == PATIENTS  # everything is read again, because the cursor had not moved


def test_check_reports_the_server_capabilities(emr: RehearsalEmr, emr_sync: EmrSync) -> None:
    ended = emr_sync("check", FHIR, "--json")
    assert ended.value["ok"] is True
    assert {"token", "capability", "plan"} <= {finding["what"] for finding in ended.value["findings"]}
