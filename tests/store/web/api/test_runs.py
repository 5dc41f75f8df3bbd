"""Runs and cursors: one active run per source, takeover from a dead process, a cursor that moves only with its data."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from store.db.database import Database
from store.errors import RunActive, StoreError
from store.runs.runs import LEASE, Journal, Run, RunStatus
from tests.store.site import ADT, FHIR, HOSPITAL, at

DIES = """
import os, sys
from datetime import datetime
from store.db.database import Database
from store.runs.runs import Journal
Journal(Database.open(sys.argv[1])).start("adt", "general-hospital", "pull", now=datetime.fromisoformat(sys.argv[2]))
os._exit(9)
"""


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


def start(journal: Journal, source: str = ADT, seconds: float = 0) -> Run:
    return journal.start(source, HOSPITAL, "pull", now=at(seconds))


def test_a_run_is_opened_counted_and_closed(journal: Journal, database: Database) -> None:
    run = start(journal)
    with database.write(HOSPITAL) as transaction:
        journal.progress(transaction, run, {"applied": 3}, "c1", now=at(1))
    assert journal.run(run.id).status == RunStatus.RUNNING
    closed = journal.finish(run, RunStatus.DONE, None, at(2))
    assert (closed.status, closed.counts, closed.cursor) == (RunStatus.DONE, {"applied": 3}, "c1")
    assert (closed.started, closed.finished) == (at(0), at(2))
    assert journal.runs() == journal.runs(HOSPITAL) == journal.runs(source=ADT) == [closed]
    assert journal.runs("other") == journal.runs(source=FHIR) == []


def test_a_second_run_of_a_source_is_refused_while_the_first_is_active(journal: Journal) -> None:
    run = start(journal)
    with pytest.raises(RunActive):
        start(journal, seconds=1)
    assert start(journal, FHIR, 1).status == RunStatus.RUNNING
    journal.finish(run, RunStatus.FAILED, "it rained", at(2))
    assert start(journal, seconds=3).id != run.id
    assert journal.run(run.id).error == "it rained"


def test_only_one_of_many_concurrent_threads_starts_a_run(journal: Journal) -> None:
    together, got, refused = threading.Barrier(8), [], []

    def attempt() -> None:
        together.wait()
        try:
            got.append(start(journal))
        except RunActive as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)


def test_the_run_of_a_dead_process_is_taken_over_at_once(journal: Journal, database_url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    died = subprocess.run([sys.executable, "-c", DIES, database_url, at(0).isoformat()], env=environment, check=False)
    assert died.returncode == 9
    (left,) = journal.runs()
    assert left.status == RunStatus.RUNNING
    run = start(journal, seconds=1)
    closed = journal.run(left.id)
    assert (closed.status, closed.finished) == (RunStatus.FAILED, at(1))
    assert "interrupted" in (closed.error or "")
    assert journal.run(run.id).status == RunStatus.RUNNING


def test_a_run_of_another_machine_is_taken_over_when_its_heartbeat_stops(journal: Journal) -> None:
    elsewhere = Journal(journal.database)
    elsewhere.owner = "another-machine:1"
    run = start(elsewhere)
    elsewhere.alive(run, at(100))
    with pytest.raises(RunActive):
        journal.start(ADT, HOSPITAL, "pull", now=at(100) + LEASE)
    assert journal.start(ADT, HOSPITAL, "pull", now=at(100) + LEASE + timedelta(seconds=1)).status == RunStatus.RUNNING
    assert journal.run(run.id).status == RunStatus.FAILED


def test_a_remote_run_ends_with_its_lease_and_a_local_run_only_with_its_process(database: Database) -> None:
    """A frozen process on this machine may continue at any time; a frozen remote process looks like a lost machine."""
    lease = timedelta(seconds=18)
    journal, elsewhere, here = (Journal(database, lease=lease) for _ in range(3))
    elsewhere.owner = "another-machine:1"
    elsewhere.start(FHIR, HOSPITAL, "pull", now=at(0))
    here.start(ADT, HOSPITAL, "pull", now=at(0))
    assert journal.start(FHIR, HOSPITAL, "pull", now=at(1) + lease).status == RunStatus.RUNNING
    with pytest.raises(RunActive):
        journal.start(ADT, HOSPITAL, "pull", now=at(1) + lease)


def test_a_heartbeat_does_not_wait_for_other_writers(journal: Journal, database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer")
    run = start(journal)
    with database.write(HOSPITAL):
        journal.alive(run, at(100))


def test_progress_counts_as_a_heartbeat(journal: Journal, database: Database) -> None:
    elsewhere = Journal(database)
    elsewhere.owner = "another-machine:1"
    run = start(elsewhere)
    with database.write(HOSPITAL) as transaction:
        elsewhere.progress(transaction, run, {}, None, now=at(100))
    with pytest.raises(RunActive):
        journal.start(ADT, HOSPITAL, "pull", now=at(101) + LEASE - timedelta(seconds=2))


def test_the_cursor_moves_only_with_its_transaction(journal: Journal, database: Database) -> None:
    run = start(journal)
    assert journal.cursor(ADT) is None

    def batch(cursor: str | None, *, fails: bool = False) -> None:
        with database.write(HOSPITAL) as transaction:
            journal.progress(transaction, run, {"applied": 1}, cursor, now=at(1))
            if fails:
                raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError):
        batch("c1", fails=True)
    assert (journal.cursor(ADT), journal.run(run.id).counts) == (None, {})
    batch("c2")
    batch(None)
    assert (journal.cursor(ADT), journal.cursor(FHIR)) == ("c2", None)


def test_the_last_contact_with_a_source_is_stored_with_its_cursor(journal: Journal, database: Database) -> None:
    run = start(journal)
    with database.write(HOSPITAL) as transaction:
        journal.progress(transaction, run, {}, "c1", now=at(1))
        journal.mark_received(transaction, ADT, HOSPITAL, now=at(1))
    with database.write(HOSPITAL) as transaction:
        journal.mark_received(transaction, ADT, HOSPITAL, now=at(5))
    assert (journal.last_heard(), journal.cursor(ADT)) == ({ADT: at(5)}, "c1")


def test_runs_are_listed_newest_first_up_to_the_limit(journal: Journal) -> None:
    runs = []
    for seconds in range(4):
        runs.append(start(journal, seconds=seconds))
        journal.finish(runs[-1], RunStatus.DONE, None, at(seconds))
    assert [run.id for run in journal.runs(limit=3)] == [run.id for run in runs[:0:-1]]


def test_a_run_that_does_not_exist_is_an_error(journal: Journal) -> None:
    with pytest.raises(StoreError, match="no such run"):
        journal.run("run_0")
