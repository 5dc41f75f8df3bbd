"""The queue that machines share, on a real PostgreSQL, with jobs that the test controls."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from store.db import schema
from store.db.database import Database
from store.errors import RunActive, SchemaOutdated
from store.runs.queued_runs import QueuedRuns
from store.runs.runs import Journal, Run, RunStatus
from sync import queue_tables
from sync.queue import Depth, Job
from sync.queue_shared import SharedQueue
from sync.queue_worker import QueueWorker, RequeueStrategy
from sync.run import Lane
from tests.factories import CLINIC, NOW
from tests.fakes import FakeClock
from tests.sync.conftest import Ended

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"])
PATIENCE = 60
GONE = OperationalError("SELECT 1", None, Exception("the connection is gone"))


class Sources:
    """Knows every source."""

    def lane(self, job: Job) -> Lane:
        return Lane(job.source, CLINIC)


class ControlledWork:
    """Work that reports its start, blocks until the test releases it, and can be refused."""

    def __init__(self, *, stopping: threading.Event | None = None) -> None:
        self.began, self.ended, self.go = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
        self.done: list[Job] = []
        self.refuses: set[Job] = set()
        self.gone: Exception | None = None
        self.at_once: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._stopping, self._lock = stopping or threading.Event(), threading.Lock()

    def do(self, job: Job) -> bool:
        with self._lock:
            self.at_once[job.source] += 1
            self.most |= self.at_once
        self.began.release()
        assert self.go.wait(PATIENCE)
        with self._lock:
            self.at_once[job.source] -= 1
        self.ended.release()
        if self.gone:
            raise self.gone
        if job in self.refuses or self._stopping.is_set():
            return False
        self.done.append(job)
        return True

    def begin(self, job: Job) -> Run:
        return Run("run_1", job.source, CLINIC, job.kind, RunStatus.RUNNING, NOW)

    def work(self, run: Run, job: Job) -> bool:
        return self.do(job)


class Machine:
    """A worker machine inside the test process."""

    def __init__(self, database: Database, parallel: int = 2) -> None:
        self.stopping = threading.Event()
        self.work = ControlledWork(stopping=self.stopping)
        self.role = QueueWorker(shared(database), self.work, parallel, timedelta(seconds=3), self.stopping)

    @contextmanager
    def working(self) -> Iterator[ControlledWork]:
        self.role.start()
        try:
            yield self.work
        finally:
            self.stop()

    def stop(self) -> None:
        self.stopping.set()
        self.work.go.set()
        self.role.stop()


class Unreachable(SharedQueue):
    """A queue that accepts jobs and cannot be queried."""

    def waits(self, job: Job) -> bool:
        raise GONE


def shared(database: Database, kind: type[SharedQueue] = SharedQueue) -> SharedQueue:
    return kind(database, QueuedRuns(Journal(database)), Sources(), FakeClock(), threading.Event())


def rows(database: Database, sql: str) -> list[Any]:
    with database.read() as connection:
        return [tuple(row) for row in database.select(connection, sql, [])]


def change(database: Database, sql: str) -> None:
    with database.write("test") as transaction:
        transaction.exec_driver_sql(sql)


def until(condition: Callable[[], object]) -> None:
    """Waits until the condition holds, however slow the machine is."""
    pause, tries = threading.Event(), int(PATIENCE / 0.05)
    assert any(condition() or pause.wait(0.05) for _ in range(tries)), "the condition was never met"


def test_a_job_row_has_its_source_and_no_patient_data(database: Database) -> None:
    queue = shared(database)
    queue.put(Job("a"))
    run = queue.request(Job("b", "resync"))
    assert rows(database, "SELECT lock, queueing_lock, args, task_name, queue_name FROM procrastinate_jobs ORDER BY id") == [
        ("a", "a/incremental", {"source": "a", "kind": "incremental", "run": ""}, "run", "emr-sync"),
        ("b", "b/resync", {"source": "b", "kind": "resync", "run": run.id}, "run", "emr-sync"),
    ]
    assert not {name for name in Job._fields if "patient" in name}


def test_an_identical_job_is_queued_once(database: Database) -> None:
    queue, other = shared(database), shared(database)
    assert [queue.put(Job("a")), other.put(Job("a")), queue.put(Job("a", "full")), other.put(Job("b"))] == [True, False, True, True]
    assert queue.depth() == other.depth() == Depth(waiting=3, running=0)


def test_a_requested_run_is_in_the_journal_and_requested_once(database: Database) -> None:
    queue, journal = shared(database), Journal(database)
    run = queue.request(Job("a", "resync"))
    with pytest.raises(RunActive, match="waits for a worker"):
        shared(database).request(Job("a", "resync"))
    assert [(one.id, one.status) for one in journal.runs(CLINIC)] == [(run.id, RunStatus.QUEUED)]


def test_machines_share_the_work_with_one_job_per_source_at_a_time(database: Database) -> None:
    queue, machines = shared(database), [Machine(database), Machine(database)]
    jobs = [Job(source, kind) for source in ("a", "b", "c") for kind in ("incremental", "full")]
    for job in jobs:
        assert queue.put(job)
    with ExitStack() as stack:
        desks = [stack.enter_context(machine.working()) for machine in machines]
        until(lambda: queue.depth().running == 3)
        assert queue.depth() == Depth(waiting=3, running=3), "one job of each of the three sources"
        for work in desks:
            work.go.set()
        until(lambda: sum(len(work.done) for work in desks) == len(jobs))
        until(lambda: queue.depth() == Depth(0, 0))
    assert sorted(desks[0].done + desks[1].done) == sorted(jobs)
    assert max((desks[0].most | desks[1].most).values()) == 1


def test_a_job_that_a_person_waits_for_goes_first(database: Database) -> None:
    queue, machine = shared(database), Machine(database)
    queue.put(Job("a", "full"))
    queue.put(Job("a", "resync"))
    machine.work.go.set()
    with machine.working() as work:
        until(lambda: len(work.done) == 2)
    assert [job.kind for job in work.done] == ["resync", "full"]


def test_a_job_that_cannot_run_now_is_deferred(database: Database) -> None:
    queue, machine = shared(database), Machine(database)
    machine.work.refuses.add(Job("a"))
    queue.put(Job("a"))
    machine.work.go.set()
    with machine.working() as work:
        assert work.ended.acquire(timeout=PATIENCE)
        until(lambda: queue.depth() == Depth(waiting=1, running=0))
    deferred = "SELECT max(at) FROM procrastinate_events WHERE type = 'deferred_for_retry'"
    assert rows(database, f"SELECT scheduled_at > ({deferred}) FROM procrastinate_jobs") == [(True,)]


def test_a_deferred_job_that_is_requested_again_is_queued_once(database: Database) -> None:
    queue, machine = shared(database), Machine(database)
    machine.work.refuses.add(Job("a"))
    queue.put(Job("a"))
    with machine.working() as work:
        assert work.began.acquire(timeout=PATIENCE)
        queue.put(Job("a"))
        work.go.set()
        assert work.ended.acquire(timeout=PATIENCE)
        work.refuses.clear()
        until(lambda: work.done == [Job("a")])
        until(lambda: queue.depth() == Depth(0, 0))


@pytest.mark.parametrize("during", ["the work", "the look at the queue behind it"])
def test_a_job_survives_a_database_outage(database: Database, during: str) -> None:
    queue, machine = shared(database), Machine(database)
    if during == "the work":
        machine.work.gone = GONE
    else:
        machine.work.refuses.add(Job("a"))
        machine.role.queue = shared(database, Unreachable)
    machine.work.go.set()
    queue.put(Job("a"))
    with machine.working():
        until(lambda: rows(database, "SELECT 1 FROM procrastinate_jobs WHERE status = 'todo' AND attempts = 1"))


class Waits(threading.Event):
    """Notes for how long the queue waits, and repairs what failed after some waits."""

    def __init__(self, failing: int, repair: Callable[[], object]) -> None:
        super().__init__()
        self.failing, self.repair, self.seconds = failing, repair, list[float]()

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0)
        if len(self.seconds) == self.failing:
            self.repair()
        return False


@pytest.mark.parametrize(("failing", "first", "last"), [(1, 1, 1), (3, 1, 4), (9, 1, 30)])
def test_a_job_is_queued_soon_after_a_short_outage_and_tried_less_often_in_a_long_one(
    database: Database, failing: int, first: float, last: float
) -> None:
    queue = shared(database)
    change(database, "ALTER TABLE procrastinate_jobs RENAME TO hidden")
    queue.stop = waits = Waits(failing, lambda: change(database, "ALTER TABLE hidden RENAME TO procrastinate_jobs"))
    assert queue.put(Job("a"))
    assert (round(waits.seconds[0]), len(waits.seconds)) == (first, failing)
    assert last * 0.9 <= waits.seconds[-1] <= last * 1.1


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 1), (1, 1), (3, 4), (40, 30)])
def test_a_job_that_failed_is_done_again_soon_and_then_less_often(dialect: str, attempts: int, seconds: float) -> None:
    strategy = RequeueStrategy(threading.Event())
    assert seconds * 0.9 <= strategy.pause(attempts) <= seconds * 1.1
    strategy.stopping.set()
    assert strategy.pause(attempts) == 1, "another worker is there"


def test_a_stopping_machine_hands_its_work_to_another(database: Database) -> None:
    queue, first, second = shared(database), Machine(database), Machine(database)
    queue.put(Job("a"))
    with first.working() as work:
        assert work.began.acquire(timeout=PATIENCE)
        first.stop()
    assert (work.done, queue.depth()) == ([], Depth(waiting=1, running=0))
    second.work.go.set()
    with second.working() as work:
        until(lambda: work.done == [Job("a")])


def test_the_job_of_a_stalled_machine_is_done_by_another(database: Database) -> None:
    queue, machine = shared(database), Machine(database)
    queue.put(Job("a"))
    change(database, "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute')")
    change(database, "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)")
    machine.work.go.set()
    with machine.working() as work:
        until(lambda: work.done == [Job("a")])


def test_the_job_of_a_stalled_machine_that_is_requested_again_is_done_once(database: Database) -> None:
    queue, machine = shared(database), Machine(database)
    queue.put(Job("a"))
    change(database, "UPDATE procrastinate_jobs SET status = 'doing'")
    assert queue.put(Job("a"))
    machine.work.go.set()
    with machine.working() as work:
        until(lambda: queue.depth() == Depth(0, 0))
    assert work.done == [Job("a")]


def test_a_job_left_with_its_own_machine_by_a_lost_response_is_done(database: Database) -> None:
    queue, machine = shared(database), Machine(database)
    machine.work.go.set()
    with machine.working() as work:
        until(lambda: rows(database, "SELECT 1 FROM procrastinate_workers"))
        change(
            database,
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status, worker_id) SELECT"
            """ 'emr-sync', 'run', 'a', 'a/incremental', '{"source": "a", "kind": "incremental"}', 'doing', max(id)"""
            " FROM procrastinate_workers",
        )
        until(lambda: work.done == [Job("a")])
    assert queue.depth() == Depth(0, 0)


def test_a_machine_recovers_from_lost_connections(database: Database) -> None:
    queue, machine = shared(database), Machine(database)
    machine.work.go.set()
    with machine.working() as work:
        queue.put(Job("a"))
        until(lambda: work.done == [Job("a")])
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        rows(database, cut)
        until(lambda: _put(queue, Job("b")))
        until(lambda: work.done == [Job("a"), Job("b")])


def _put(queue: SharedQueue, job: Job) -> bool:
    """Puts a job; false on failure, because the pool of this process may hand out broken connections, too."""
    try:
        return queue._put(job)
    except Exception:
        return False


def test_the_tables_are_created_once(database: Database) -> None:
    queue_tables.check(database)
    queue_tables.migrate(database)
    queue_tables.check(database)
    (source,) = rows(database, "SELECT prosrc FROM pg_proc WHERE proname = 'procrastinate_retry_job_v2'")[0]
    assert "(job id: %)" in source, "text that looks like a parameter stays unchanged"


def test_the_tables_of_an_older_version_are_migrated(bare_database_url: str) -> None:
    bare, older = Database.open(bare_database_url), [step for step in queue_tables.steps() if step.name < "03.04"]
    for step in older:
        change(bare, step.read_text("utf-8").replace("%", "%%"))
    change(bare, f"COMMENT ON TABLE procrastinate_jobs IS '{older[-1].name}'")
    with pytest.raises(SchemaOutdated, match="emr-sync migrate"):
        queue_tables.check(bare)
    queue_tables.migrate(bare)
    queue_tables.check(bare)
    assert rows(bare, "SELECT 1 FROM pg_proc WHERE proname = 'procrastinate_retry_job_v2'") == [(1,)]
    bare.close()


def test_the_service_needs_the_tables_that_migrate_creates(bare_database_url: str, tmp_path: Path, emr_sync: Callable[..., Ended]) -> None:
    bare, config = Database.open(bare_database_url), tmp_path / "config.yaml"
    schema.migrate(bare)  # the state left by a version without worker machines
    config.write_text(json.dumps({"database": bare_database_url, "enterprises": {CLINIC: {}}, "sources": {}}))
    refused = emr_sync("-c", config, "serve", "--only", "work")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "run emr-sync migrate" in refused.err
    assert emr_sync("-c", config, "migrate").code == 0
    queue_tables.check(bare)
    bare.close()


def test_tables_of_a_newer_version_stay_unchanged(database: Database) -> None:
    change(database, "COMMENT ON TABLE procrastinate_jobs IS '99.00.00_01_a_step_of_the_future.sql'")
    for use_tables in (queue_tables.check, queue_tables.migrate):
        with pytest.raises(SchemaOutdated, match="newer than this program"):
            use_tables(database)
    assert rows(database, queue_tables.INSTALLED) == [("99.00.00_01_a_step_of_the_future.sql",)]


def test_a_database_without_the_tables_is_refused_with_instructions(bare_database_url: str) -> None:
    bare = Database.open(bare_database_url)
    with pytest.raises(SchemaOutdated, match="emr-sync migrate"):
        queue_tables.check(bare)
    bare.close()


@pytest.mark.parametrize("lost", ["worker_id = NULL", "worker_id = (SELECT min(id) FROM procrastinate_workers)"], ids=["nobody", "gone"])
def test_a_machine_continues_a_job_that_the_queue_considers_lost(database: Database, lost: str) -> None:
    """After a long stall the queue may have lost the owner of a job; the worker itself still knows."""
    queue, machine = shared(database), Machine(database)
    change(database, "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute')")
    queue.put(Job("a"))
    with machine.working() as work:
        assert work.began.acquire(timeout=PATIENCE)
        change(database, f"UPDATE procrastinate_jobs SET {lost}")
        assert not work.began.acquire(timeout=5), "the job ran twice"
        assert rows(database, "SELECT 1 FROM procrastinate_jobs WHERE status = 'doing' AND attempts = 0") == [(1,)]
        work.go.set()
        until(lambda: queue.depth() == Depth(0, 0))
    assert work.done == [Job("a")]
