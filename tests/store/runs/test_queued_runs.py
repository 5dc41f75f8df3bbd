"""Runs that wait for a worker: one is asked for, one worker takes it, and what a dead one left is done by a new run."""

from __future__ import annotations

from typing import Any

import pytest

from store.db.database import Database
from store.errors import RunActive
from store.runs.queued_runs import QueuedRuns
from store.runs.runs import Journal, Run, RunStatus
from tests.factories import CLINIC, FEED
from tests.fakes import FakeClock

CLOCK = FakeClock()


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


@pytest.fixture
def queued(journal: Journal) -> QueuedRuns:
    return QueuedRuns(journal)


def nothing(transaction: Any, run: Run) -> None:
    """Nobody is told."""


def ask(queued: QueuedRuns) -> Run:
    return queued.add(FEED, CLINIC, "resync", now=CLOCK(), enqueue=nothing)


def test_a_run_that_waits_is_not_in_the_way_of_another(journal: Journal, queued: QueuedRuns) -> None:
    waiting = ask(queued)
    assert journal.run(waiting.id).status == RunStatus.QUEUED
    assert journal.start(FEED, CLINIC, "incremental", now=CLOCK()).status == RunStatus.RUNNING
    with pytest.raises(RunActive):
        queued.take(waiting.id, now=CLOCK())
    assert journal.run(waiting.id).status == RunStatus.QUEUED


def test_whoever_takes_a_run_works_on_it(journal: Journal, queued: QueuedRuns) -> None:
    waiting, now = ask(queued), CLOCK()
    taken = queued.take(waiting.id, now=now)
    assert taken is not None
    assert (taken.id, taken.status, taken.kind) == (waiting.id, RunStatus.RUNNING, "resync")
    assert journal.run(waiting.id).started == now
    with pytest.raises(RunActive):
        queued.take(waiting.id, now=CLOCK())


def test_a_run_that_came_to_its_end_is_not_done_again(journal: Journal, queued: QueuedRuns) -> None:
    taken = queued.take(ask(queued).id, now=CLOCK())
    assert taken is not None
    journal.finish(taken, RunStatus.DONE, None, CLOCK())
    assert queued.take(taken.id, now=CLOCK()) is None


def test_a_run_whose_worker_is_gone_is_done_by_a_new_one(journal: Journal, queued: QueuedRuns) -> None:
    taken = queued.take(ask(queued).id, now=CLOCK())
    assert taken is not None
    journal.finish(taken, RunStatus.FAILED, "interrupted", CLOCK())
    again = queued.take(taken.id, now=CLOCK())
    assert again is not None
    assert again.id != taken.id
    assert (again.source, again.kind, journal.run(again.id).status) == (FEED, "resync", RunStatus.RUNNING)


def test_nothing_is_asked_for_while_a_run_is_under_way(journal: Journal, queued: QueuedRuns) -> None:
    journal.start(FEED, CLINIC, "incremental", now=CLOCK())
    with pytest.raises(RunActive, match="in progress"):
        ask(queued)
    assert [run.status for run in journal.runs(CLINIC)] == [RunStatus.RUNNING]


def test_a_run_that_nobody_was_told_of_does_not_stand(journal: Journal, queued: QueuedRuns) -> None:
    def fails(transaction: Any, run: Run) -> None:
        raise OSError("nobody listens")

    with pytest.raises(OSError, match="nobody listens"):
        queued.add(FEED, CLINIC, "resync", now=CLOCK(), enqueue=fails)
    assert journal.runs(CLINIC) == []


def test_a_run_that_was_lost_on_the_way_is_closed_when_the_next_is_asked_for(journal: Journal, queued: QueuedRuns) -> None:
    lost, waiting = ask(queued), ask(queued)
    assert journal.run(lost.id).status == RunStatus.FAILED
    assert journal.run(waiting.id).status == RunStatus.QUEUED


def test_a_run_that_nobody_can_do_says_why(journal: Journal, queued: QueuedRuns) -> None:
    waiting = ask(queued)
    assert queued.refuse(waiting.id, "no machine knows this source", CLOCK()).status == RunStatus.FAILED
    assert journal.run(waiting.id).error == "no machine knows this source"
