"""An EMR that prepares its response: the run waits, but not forever, and the wait does not count as contact."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.base import Batch, Fetch, Wait
from store.db.database import Database
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from sync.config import Backoff
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.factories import CLINIC, FEED, clinic, statements
from tests.fakes import FakeAdapter, FakeClock, batch

LANE = Lane(FEED, CLINIC)


@pytest.fixture
def engine(database: Database) -> Engine:
    backoff = Backoff(attempts=3, first_wait=timedelta(0), longest_wait=timedelta(seconds=1))
    return Engine(database, Preferences(database, {CLINIC: clinic()}), Journal(database), FakeClock(), Metrics(), backoff)


def waiting(seconds: float, cursor: str | None = None) -> Batch:
    return Batch((), cursor, wait=Wait(seconds, "the export is prepared"))


def test_the_run_continues_after_a_short_wait(engine: Engine) -> None:
    seen: list[tuple[int, int | None, str]] = []
    adapter = FakeAdapter(waiting(0.01, "asked"), batch(statements("A"), cursor="read"))
    run = engine.run(LANE, adapter, Fetch(), "incremental", lambda done, total, what="": seen.append((done, total, what)))
    assert (run.status, run.counts) == ("done", {"applied": 1})
    assert seen == [(0, None, "the export is prepared"), (1, None, "")]


def test_a_long_wait_ends_the_run_and_the_next_continues_at_its_cursor(engine: Engine) -> None:
    run = engine.run(LANE, FakeAdapter(waiting(7200, "asked")), Fetch(), "incremental")
    assert run.status == "waiting"
    assert "retry in 7200 s" in (run.error or "")
    later = FakeAdapter(batch(statements("A"), cursor="read"))
    assert engine.run(LANE, later, Fetch(), "incremental").status == "done"
    assert later.requests == [Fetch(cursor="asked")]


def test_many_short_waits_exhaust_the_wait_limit(engine: Engine) -> None:
    adapter = FakeAdapter(*(waiting(0.02) for _ in range(10)))
    assert engine.run(LANE, adapter, Fetch(), "incremental", patience=0.05).status == "waiting"
    assert len(adapter.script) == 7


def test_waiting_for_an_emr_does_not_count_as_contact(engine: Engine) -> None:
    engine.run(LANE, FakeAdapter(waiting(0, "asked"), waiting(7200)), Fetch(), "incremental")
    assert engine.journal.cursor(FEED) == "asked"
    assert engine.journal.last_heard() == {}


def test_a_full_read_is_told_which_export_is_running(engine: Engine) -> None:
    engine.run(LANE, FakeAdapter(waiting(7200, "asked")), Fetch(full=True), "full")
    again = FakeAdapter()
    engine.run(LANE, again, Fetch(full=True), "full")
    assert again.requests == [Fetch(cursor="asked", full=True)]
