"""A short database outage, low memory, a stale source and a failed run appear in readiness, metrics and the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
import pytest
from structlog.testing import capture_logs

from store.db.database import Database
from store.db.limits import LIMITS
from store.db.outage import BUSY, WAITED
from store.runs.runs import RunKind, RunStatus
from store.web.api.health import Health, Readiness
from store.web.app import create_app
from sync import memory
from sync.config.loading import load
from sync.housekeeping import failure_watch, source_watch
from sync.measuring import measured
from sync.runtime import Runtime
from tests.functional.program import hospital, written
from tests.store.web.conftest import running

ENTERPRISE, SOURCE = "general-hospital", "genhosp-adt"


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[Runtime]:
    settings = load(written(tmp_path, hospital(database_url, 0, freshness="26h")), {})
    Runtime.open(settings).close()
    found = Runtime(settings, Database.open(database_url, replace(LIMITS, lock=0.05)))
    yield found
    found.close()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another program locks the patients."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
    else:
        with closing(psycopg.connect(url.replace("+psycopg", "", 1))) as other:
            other.execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE")
            yield


def ready(runtime: Runtime) -> Readiness:
    return Health(runtime.preferences, None, runtime.clock, failures=runtime.failures).readiness()


def metrics(runtime: Runtime) -> str:
    return runtime.metrics.text(measured(runtime)).decode()


def test_an_outage_between_two_checks_is_reported_afterwards(runtime: Runtime, database_url: str) -> None:
    assert ready(runtime).failures == ()
    with locked(database_url), pytest.raises(Exception, match=r"."), runtime.database.write(ENTERPRISE) as transaction:
        runtime.database.select(transaction, "SELECT id FROM patients", [])
    found = ready(runtime)
    assert (found.ready, found.degraded) == (True, True)
    assert [(one.kind, one.count, one.reason) for one in found.failures] == [("database", 1, BUSY)]
    assert found.told(None) == {"ready": True}
    assert 'emr_sync_failures_total{kind="database"} 1.0' in metrics(runtime)
    with capture_logs() as lines:
        failure_watch(runtime)["failures logged"]()
    assert [(line["event"], line["reason"], line["log_level"]) for line in lines] == [("the database could not be used", BUSY, "warning")]


def test_a_long_lock_wait_is_reported_although_nothing_failed(runtime: Runtime, database_url: str) -> None:
    with closing(Database.open(database_url, replace(LIMITS, slow=0.0))) as database:  # any wait counts as long
        with database.write(ENTERPRISE):
            pass
        state = database.failures.state()
    assert state is not None
    assert state.reason == WAITED


def test_a_bad_request_is_not_an_outage(runtime: Runtime) -> None:
    with pytest.raises(ValueError, match="ours"), runtime.database.read():
        raise ValueError("ours")
    assert ready(runtime).failures == ()


def test_low_memory_is_reported(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'emr_sync_failures_total{kind="memory"} 0.0' in metrics(runtime)
    assert "emr_sync_memory_available_bytes " in metrics(runtime)
    monkeypatch.setattr(memory, "LOW", 1 << 62)  # so that any available memory is too little
    found = ready(runtime)
    assert [(one.kind, one.reason) for one in found.failures] == [("memory", memory.SHORT)]
    assert (found.ready, found.degraded) == (True, True)
    with capture_logs() as lines:
        failure_watch(runtime)["failures logged"]()
    assert [line["event"] for line in lines] == ["memory is short"]


def test_a_request_that_ran_out_of_memory_is_counted(runtime: Runtime) -> None:
    def fails() -> bytes:
        raise MemoryError

    app = create_app(
        runtime.preferences, runtime.journal, runtime.keys, metrics=fails, out_of_memory=lambda: runtime.memory.add(memory.FAILED)
    )
    with running(app) as port, pytest.raises(HTTPError, match="500"):
        urlopen(f"http://127.0.0.1:{port}/metrics")
    assert [one.reason for one in ready(runtime).failures] == [memory.FAILED]


def test_a_stale_source_is_reported(runtime: Runtime) -> None:
    check = source_watch(runtime)["sources checked"]
    with capture_logs() as lines:
        check()
        check()
    assert [(line["event"], line["source"], line["log_level"]) for line in lines] == [
        ("no data from a source for longer than its freshness", SOURCE, "warning")
    ]
    assert [one.state for one in ready(runtime).sources] == ["stale"]
    assert ready(runtime).degraded
    assert f'emr_sync_stale_sources{{source="{SOURCE}"}} 1.0' in metrics(runtime)
    with runtime.database.write(ENTERPRISE) as transaction:
        runtime.journal.mark_received(transaction, SOURCE, ENTERPRISE, now=runtime.clock())
    other_process = Runtime(runtime.settings, runtime.database)  # the other process caches its reading for a second
    assert f'emr_sync_stale_sources{{source="{SOURCE}"}} 0.0' in metrics(other_process)


def test_a_failed_run_is_reported_until_one_succeeds(runtime: Runtime) -> None:
    def ends(kind: RunKind, status: RunStatus) -> str:
        run = runtime.journal.start(SOURCE, ENTERPRISE, kind, now=runtime.clock())
        return runtime.journal.finish(run, status, "the EMR cannot be reached", runtime.clock()).id

    assert "emr_sync_last_run_failed{" not in metrics(runtime)
    ends(RunKind.FULL, RunStatus.DONE)
    failed = ends(RunKind.INCREMENTAL, RunStatus.FAILED)
    ends(RunKind.INGEST, RunStatus.DONE)  # files that a person fed in do not show that the EMR is back
    begun = runtime.journal.start(SOURCE, ENTERPRISE, RunKind.INCREMENTAL, now=runtime.clock())
    found = ready(runtime)
    assert (found.ready, found.degraded) == (True, True)
    assert [(one.enterprise, one.source, one.run) for one in found.runs] == [(ENTERPRISE, SOURCE, failed)]
    assert [told(found, enterprise) for enterprise in (ENTERPRISE, "another-hospital")] == [(failed,), ()]
    assert f'emr_sync_last_run_failed{{source="{SOURCE}"}} 1.0' in metrics(runtime)
    runtime.journal.finish(begun, RunStatus.DONE, None, runtime.clock())
    assert ready(runtime).runs == ()
    assert f'emr_sync_last_run_failed{{source="{SOURCE}"}} 0.0' in metrics(runtime)


def told(found: Readiness, enterprise: str) -> tuple[str, ...]:
    """The failed runs that a key of this enterprise is told of."""
    answer = found.told(enterprise)
    assert isinstance(answer, Readiness)
    return tuple(one.run for one in answer.runs)
