"""Worker machines: one process requests runs, others do them, over one real database."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.rehearsal.emr import RehearsalEmr
from tests.functional.machines import SharedJournal, call, machine, until
from tests.functional.program import free_port, hospital, written

pytestmark = pytest.mark.timeout(300)  # each starts several programs
on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"])
PATIENTS, SOURCE, ADT = 200, "genhosp-fhir", "genhosp-adt"


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    """An EMR that delays each page, so that a test can interrupt a run."""
    with RehearsalEmr(patients=PATIENTS, seed=11) as running:
        running.faults.delay = 0.5
        yield running


@pytest.fixture
def shared_journal(database_url: str) -> Iterator[SharedJournal]:
    found = SharedJournal(database_url)
    yield found
    found.close()


def site(folder: Path, database: str, emr: RehearsalEmr, **more: Any) -> Path:
    """A hospital that reads an EMR by FHIR every hour and listens to its ADT feed."""
    (folder / "key.pem").write_text(emr.private_key)
    configuration = hospital(database, free_port())
    fhir = emr.fhir_source(enterprise="general-hospital", private_key=f"file:{folder / 'key.pem'}")
    configuration["sources"][SOURCE] = {**fhir, "page_size": "10", "schedule": {"every": "1h"}, **more}
    return written(folder, {**configuration, "work": {"silence": "3s"}, "logs": {"format": "json"}})


def address(config: Path) -> str:
    return str(_read(config)["api"]["listen"])


def _read(config: Path) -> Any:
    return yaml.safe_load(config.read_text())


@on_postgresql
def test_one_process_requests_a_run_and_another_does_it(
    database_url: str, tmp_path: Path, emr: RehearsalEmr, shared_journal: SharedJournal
) -> None:
    emr.faults.delay = 0
    config = site(tmp_path, database_url, emr)
    with machine(config, "work") as worker, machine(config, "api,schedule"):
        (run,) = until(lambda: shared_journal.runs("done"))
        assert shared_journal.owner(run) == worker.process.pid
        assert (run.kind, run.counts) == ("incremental", {"applied": PATIENTS})
        status, metrics = call(address(config), "GET", "/metrics", "")
        assert status == 200
        assert 'emr_sync_queue_jobs{state="waiting"} 0.0' in metrics


def test_a_resync_requested_over_http_is_done_by_a_worker_started_later(
    database_url: str, tmp_path: Path, emr: RehearsalEmr, shared_journal: SharedJournal
) -> None:
    emr.faults.delay = 0
    config = site(tmp_path, database_url, emr)
    key = shared_journal.key("operator")
    with machine(config, "api"):
        status, asked = call(address(config), "POST", f"/v1/sources/{SOURCE}/resync", key)
        assert (status, asked["status"]) == (202, "queued")
        assert 'emr_sync_queue_jobs{state="waiting"} 1.0' in call(address(config), "GET", "/metrics", "")[1]
        assert call(address(config), "POST", f"/v1/sources/{SOURCE}/resync", key)[0] == 409
        with machine(config, "work") as worker:
            until(lambda: shared_journal.runs("done"))
            found = call(address(config), "GET", f"/v1/runs/{asked['run']}", key)[1]
            assert (found["status"], found["counts"]) == ("done", {"applied": PATIENTS})
            assert worker.end() == 0


@on_postgresql
def test_the_run_of_a_killed_worker_is_done_by_another(
    database_url: str, tmp_path: Path, emr: RehearsalEmr, shared_journal: SharedJournal
) -> None:
    config = site(tmp_path, database_url, emr)
    shared_journal.request_run(SOURCE)
    with machine(config, "work") as first:
        until(lambda: shared_journal.patients() >= 20)
        first.kill()
        assert shared_journal.patients() < PATIENTS, "the process must be killed during the run"
        emr.faults.delay = 0
        with machine(config, "work") as second:
            (run,) = until(lambda: shared_journal.runs("done"))
            assert shared_journal.owner(run) == second.process.pid
    assert [one.error for one in shared_journal.runs("failed")] == ["interrupted: its process ended before it did"]
    assert (shared_journal.patients(), shared_journal.duplicates()) == (PATIENTS, 0)


@on_postgresql
def test_a_stopped_worker_hands_its_run_over(database_url: str, tmp_path: Path, emr: RehearsalEmr, shared_journal: SharedJournal) -> None:
    config = site(tmp_path, database_url, emr)
    shared_journal.request_run(SOURCE)
    with machine(config, "work") as first:
        until(lambda: shared_journal.patients() >= 20)
        assert first.end() == 0
        stopped = shared_journal.patients()
        assert stopped < PATIENTS, "the worker must stop during the run"
        assert "stopped early" in str(shared_journal.runs("stopped")[0].error)
        assert all(line.get("level") != "error" for line in first.lines())
        emr.faults.delay = 0
        with machine(config, "work") as second:
            (run,) = until(lambda: shared_journal.runs("done"))
            assert shared_journal.owner(run) == second.process.pid
    assert (shared_journal.patients(), shared_journal.duplicates()) == (PATIENTS, 0)


@on_postgresql
def test_concurrent_requests_by_schedule_and_people_start_one_run_at_a_time(
    database_url: str, tmp_path: Path, emr: RehearsalEmr, shared_journal: SharedJournal
) -> None:
    emr.faults.delay = 0.02
    config = site(tmp_path, database_url, emr, full_resync={"every": "1d"})
    key = shared_journal.key("operator")
    with machine(config, "work"), machine(config, "work"), machine(config, "api,schedule"):
        with ThreadPoolExecutor(4) as people:
            asks = [people.submit(call, address(config), "POST", f"/v1/sources/{SOURCE}/resync", key) for _ in range(8)]
            answers = [request_run.result() for request_run in asks]
        accepted = [answer["run"] for status, answer in answers if status == 202]
        assert {status for status, _ in answers} <= {202, 409}
        until(lambda: len(shared_journal.runs("done")) >= 1 + len(accepted) and not shared_journal.runs("running", "queued"))
    ended = sorted((run.started, run.finished) for run in shared_journal.runs("done", "failed") if run.finished)
    assert all(before[1] <= after[0] for before, after in pairwise(ended)), "two runs of one source at once"
    assert {run.id for run in shared_journal.runs("done")} >= set(accepted)
    assert (shared_journal.patients(), shared_journal.duplicates()) == (PATIENTS, 0)


@on_postgresql
def test_the_listener_runs_in_its_own_process(database_url: str, tmp_path: Path, emr: RehearsalEmr, shared_journal: SharedJournal) -> None:
    config = site(tmp_path, database_url, emr)
    port = int(_read(config)["sources"][ADT]["listen"].rpartition(":")[2])
    key = shared_journal.key("staff")
    with machine(config, "listen"), machine(config, "api"):
        until(lambda: _open(port))
        report = emr.send("127.0.0.1", port)
        assert report.codes == {"AA": PATIENTS}
        patient = {"authority": "GENHOSP", "value": emr.entry(7).person.mrn}
        status, found = call(address(config), "POST", "/v1/patients/lookup", key, patient)
    assert (status, found["synced"][0]["source"]) == (200, ADT)


def _open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@on_postgresql
def test_a_worker_with_another_configuration_reports_it_to_the_requester(
    database_url: str, tmp_path: Path, emr: RehearsalEmr, shared_journal: SharedJournal
) -> None:
    config = site(tmp_path, database_url, emr)
    other = tmp_path / "other"
    other.mkdir()
    without = _read(config) | {"sources": {ADT: _read(config)["sources"][ADT]}}
    key = shared_journal.key("operator")
    with machine(config, "api"), machine(written(other, without), "work"):
        asked = call(address(config), "POST", f"/v1/sources/{SOURCE}/resync", key)[1]
        (run,) = until(lambda: shared_journal.runs("failed"))
    assert run.id == asked["run"]
    assert "give every machine the same configuration" in str(run.error)
