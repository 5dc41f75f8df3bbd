"""Requests of people on a database without a queue of its own: none is lost, and none is done twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store.db.database import Database
from store.errors import RunActive
from store.runs.queued_runs import QueuedRuns
from store.runs.requested_runs import RequestedRuns
from store.runs.runs import INTERRUPTED, Journal, Run, RunStatus
from tests.factories import CLINIC, FEED
from tests.fakes import FakeClock

CLOCK = FakeClock()


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


@pytest.fixture
def requests(journal: Journal) -> RequestedRuns:
    return RequestedRuns(QueuedRuns(journal))


def ask(requests: RequestedRuns, kind: str = "resync") -> Run:
    return requests.add(FEED, CLINIC, kind, CLOCK())


def take(requests: RequestedRuns, number: str) -> Run:
    CLOCK.now += timedelta(seconds=1)
    taken = requests.queued.take(number, now=CLOCK())
    assert taken is not None
    return taken


def undone(requests: RequestedRuns) -> list[str]:
    return [one.run for one in requests.left_undone(CLOCK())]


def test_a_request_waits_until_a_process_takes_it(requests: RequestedRuns) -> None:
    asked = ask(requests)
    assert [(one.source, one.enterprise, one.kind, one.run) for one in requests.waiting()] == [(FEED, CLINIC, "resync", asked.id)]
    take(requests, asked.id)
    assert requests.waiting() == []
    assert undone(requests) == []


def test_a_second_request_for_a_source_is_refused_while_the_first_waits_or_runs(requests: RequestedRuns) -> None:
    asked = ask(requests)
    with pytest.raises(RunActive):
        ask(requests)
    take(requests, asked.id)
    with pytest.raises(RunActive):
        ask(requests)
    assert [one.run for one in requests._open()] == [asked.id]


@pytest.mark.parametrize(("status", "error"), [(RunStatus.STOPPED, None), (RunStatus.FAILED, INTERRUPTED)])
def test_a_request_whose_runs_were_stopped_or_died_is_done_until_one_comes_to_its_end(
    journal: Journal, requests: RequestedRuns, status: RunStatus, error: str | None
) -> None:
    asked = ask(requests)
    run = take(requests, asked.id)
    for _ in range(2):
        journal.finish(run, status, error, CLOCK())
        assert undone(requests) == [asked.id]
        run = take(requests, asked.id)
        assert undone(requests) == []
    journal.finish(run, RunStatus.DONE, None, CLOCK())
    assert undone(requests) == []
    assert requests._open() == []


@pytest.mark.parametrize("status", [RunStatus.DONE, RunStatus.HELD, RunStatus.WAITING, RunStatus.FAILED])
def test_a_request_that_came_to_its_end_is_forgotten(journal: Journal, requests: RequestedRuns, status: RunStatus) -> None:
    journal.finish(take(requests, ask(requests).id), status, "a reason", CLOCK())
    assert undone(requests) == []
    assert requests._open() == []


def test_a_request_is_not_done_again_where_a_later_run_of_its_kind_came_to_its_end(journal: Journal, requests: RequestedRuns) -> None:
    journal.finish(take(requests, ask(requests).id), RunStatus.FAILED, INTERRUPTED, CLOCK())
    CLOCK.now += timedelta(seconds=1)
    journal.finish(journal.start(FEED, CLINIC, "resync", now=CLOCK()), RunStatus.DONE, None, CLOCK())
    assert undone(requests) == []
