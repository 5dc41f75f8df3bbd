"""The process is killed at each stage of a bulk export and restarted: it continues, loses nothing, applies nothing twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.fhir.bulk import job
from adapters.rehearsal.emr import RehearsalEmr
from store.db.database import Database
from tests.functional.forked import start
from tests.functional.program import emr_sync, free_port, hospital, written

PATIENTS, FILE_SIZE, BATCH = 1_200, 100, 40
SOURCE = "genhosp-bulk"
PATIENCE = 240.0
pytestmark = pytest.mark.timeout(2 * PATIENCE)  # three starts of the program, on a machine that may be busy


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=PATIENTS, seed=11) as running:
        running.exports.file_size = FILE_SIZE
        yield running


@pytest.fixture
def config(emr: RehearsalEmr, database_url: str, tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_text(emr.private_key)
    source = emr.bulk_source(enterprise="general-hospital", private_key=f"file:{tmp_path / 'key.pem'}")
    configuration = hospital(database_url, free_port())
    configuration["sources"] = {SOURCE: {**source, "budget": {"parallel": "1"}}}
    configuration["batch_size"] = str(BATCH)
    file = written(tmp_path, configuration)
    emr_sync(file, "runs")  # creates the schema
    return file


def state(url: str) -> job.BulkState:
    """The state of the source, from its committed cursor."""
    return job.read(_one(url, "SELECT cursor FROM source_states"))


def stored(url: str) -> int:
    return int(_one(url, "SELECT count(*) FROM patients") or 0)


def _one(url: str, sql: str) -> Any:
    database = Database.open(url)
    with database.read() as connection:
        rows = database.select(connection, sql, [])
    database.close()
    return rows[0][0] if rows else None


def kill_at(config: Path, reached: Callable[[], bool]) -> None:
    """Runs the source in its own process and kills it at a stage of its work."""
    process = start(["-c", str(config), "resync", SOURCE, "--json"], Path(os.devnull), Path(os.devnull))
    deadline = time.monotonic() + PATIENCE
    try:
        while not reached():
            assert process.poll() is None, "the process ended before it could be killed"
            assert time.monotonic() < deadline, "the process never reached that stage"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def all_there_once(url: str) -> None:
    assert stored(url) == PATIENTS
    assert _one(url, "SELECT count(*) FROM changes") == PATIENTS, "something was applied twice"
    found = state(url)
    assert (found.job, found.ended, bool(found.since)) == (None, "", True)


@pytest.mark.crash
def test_killed_while_the_server_prepares_the_export(emr: RehearsalEmr, config: Path, database_url: str) -> None:
    emr.exports.polls, emr.exports.retry_after = 1_000_000, "1"
    kill_at(config, lambda: state(database_url).job is not None and emr.exports.polls_answered > 0)
    emr.exports.finish_all()
    assert emr_sync(config, "resync", SOURCE)["counts"]["applied"] == PATIENTS
    all_there_once(database_url)
    assert emr.exports.asked == 1, "the run must continue at the status URL"


@pytest.mark.crash
def test_killed_between_the_files(emr: RehearsalEmr, config: Path, database_url: str) -> None:
    emr.faults.delay = 0.05

    def some_files_are_stored() -> bool:
        found = state(database_url).job
        return found is not None and found.done > 2

    kill_at(config, some_files_are_stored)
    before = stored(database_url)
    assert 0 < before < PATIENTS, "the process must be killed between the files"
    emr.faults.delay = 0
    counts = emr_sync(config, "resync", SOURCE)["counts"]
    assert counts["applied"] == PATIENTS - before
    assert counts["unchanged"] < before, "stored files were read again"
    all_there_once(database_url)
    assert emr.exports.asked == 1


@pytest.mark.crash
def test_killed_before_the_export_is_deleted_at_the_server(emr: RehearsalEmr, config: Path, database_url: str) -> None:
    """The last file is stored; the server does not answer the request to delete the export."""
    emr.exports.may_delete.clear()
    kill_at(config, lambda: bool(state(database_url).ended))
    emr.exports.may_delete.set()
    assert stored(database_url) == PATIENTS
    assert emr_sync(config, "resync", SOURCE)["counts"]["applied"] == 0
    all_there_once(database_url)
    assert emr.exports.under_way == 0, "the next run deletes what the last could not"
