"""A short database outage, low memory and a stale source appear in readiness, metrics and the log."""

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
from store.web.api.health import Health, Readiness
from store.web.app import create_app
from sync import memory
from sync.api import metrics_text
from sync.config.loading import load
from sync.housekeeping import failure_watch, source_watch
from sync.queue import Depth
from sync.runtime import Parts
from tests.functional.program import hospital, written
from tests.store.web.conftest import running

ENTERPRISE, SOURCE = "general-hospital", "genhosp-adt"


@pytest.fixture
def parts(tmp_path: Path, database_url: str) -> Iterator[Parts]:
    settings = load(written(tmp_path, hospital(database_url, 0, freshness="26h")), {})
    Parts.open(settings).close()
    found = Parts(settings, Database.open(database_url, replace(LIMITS, lock=0.05)))
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


def ready(parts: Parts) -> Readiness:
    return Health(parts.preferences, None, parts.clock, failures=parts.failures).readiness()


def metrics(parts: Parts) -> str:
    return metrics_text(parts, Depth(0, 0), {}).decode()


def test_an_outage_between_two_checks_is_reported_afterwards(parts: Parts, database_url: str) -> None:
    assert ready(parts).failures == ()
    with locked(database_url), pytest.raises(Exception, match=r"."), parts.database.write(ENTERPRISE) as transaction:
        parts.database.select(transaction, "SELECT id FROM patients", [])
    found = ready(parts)
    assert (found.ready, found.degraded) == (True, True)
    assert [(one.kind, one.count, one.reason) for one in found.failures] == [("database", 1, BUSY)]
    assert found.told(None) == {"ready": True}
    assert 'emr_sync_failures_total{kind="database"} 1.0' in metrics(parts)
    with capture_logs() as lines:
        failure_watch(parts)["failures logged"]()
    assert [(line["event"], line["reason"], line["log_level"]) for line in lines] == [("the database could not be used", BUSY, "warning")]


def test_a_long_lock_wait_is_reported_although_nothing_failed(parts: Parts, database_url: str) -> None:
    with closing(Database.open(database_url, replace(LIMITS, slow=0.0))) as database:  # any wait counts as long
        with database.write(ENTERPRISE):
            pass
        state = database.failures.state()
    assert state is not None
    assert state.reason == WAITED


def test_a_bad_request_is_not_an_outage(parts: Parts) -> None:
    with pytest.raises(ValueError, match="ours"), parts.database.read():
        raise ValueError("ours")
    assert ready(parts).failures == ()


def test_low_memory_is_reported(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'emr_sync_failures_total{kind="memory"} 0.0' in metrics(parts)
    assert "emr_sync_memory_available_bytes " in metrics(parts)
    monkeypatch.setattr(memory, "LOW", 1 << 62)  # so that any available memory is too little
    found = ready(parts)
    assert [(one.kind, one.reason) for one in found.failures] == [("memory", memory.SHORT)]
    assert (found.ready, found.degraded) == (True, True)
    with capture_logs() as lines:
        failure_watch(parts)["failures logged"]()
    assert [line["event"] for line in lines] == ["memory is short"]


def test_a_request_that_ran_out_of_memory_is_counted(parts: Parts) -> None:
    def fails() -> bytes:
        raise MemoryError

    app = create_app(parts.preferences, parts.journal, parts.keys, metrics=fails, out_of_memory=lambda: parts.memory.add(memory.FAILED))
    with running(app) as port, pytest.raises(HTTPError, match="500"):
        urlopen(f"http://127.0.0.1:{port}/metrics")
    assert [one.reason for one in ready(parts).failures] == [memory.FAILED]


def test_a_stale_source_is_reported(parts: Parts) -> None:
    check = source_watch(parts)["sources checked"]
    with capture_logs() as lines:
        check()
        check()
    assert [(line["event"], line["source"], line["log_level"]) for line in lines] == [
        ("no data from a source for longer than its freshness", SOURCE, "warning")
    ]
    assert [one.state for one in ready(parts).sources] == ["stale"]
    assert ready(parts).degraded
    assert f'emr_sync_stale_sources{{source="{SOURCE}"}} 1.0' in metrics(parts)
    with parts.database.write(ENTERPRISE) as transaction:
        parts.journal.mark_received(transaction, SOURCE, ENTERPRISE, now=parts.clock())
    other_process = Parts(parts.settings, parts.database)  # the other process caches its reading for a second
    assert f'emr_sync_stale_sources{{source="{SOURCE}"}} 0.0' in metrics(other_process)
