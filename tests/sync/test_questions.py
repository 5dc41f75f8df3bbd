"""What an API process asks the first one: answers, failures, and a first one that is slow or gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import pytest

from store.users.throttle import Throttle
from store.web.api.health import UNREACHABLE, Readiness
from store.web.http.problem import ProblemDetails
from sync.api import asked_readiness
from sync.questions import Questions, Shared, answer

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def shared(**others: Any) -> Shared:
    throttle = Throttle()
    return Shared(
        **{"metrics": lambda: b"", "readiness": lambda: UNREACHABLE, "admit": throttle.admit, "accept": throttle.accept, **others}
    )


@contextmanager
def asking(first: Shared) -> Iterator[Shared]:
    """What another process has, while the first one answers."""
    with connected() as (ours, questions):
        thread = threading.Thread(target=answer, args=(ours, first))
        thread.start()
        yield questions.shared()
        questions.close()
        thread.join()


@contextmanager
def connected() -> Iterator[tuple[Connection, Questions]]:
    ours, theirs = Pipe()
    questions = Questions(theirs)
    yield ours, questions
    questions.close()
    ours.close()


def test_another_process_has_the_metrics_readiness_and_throttle_of_the_first() -> None:
    first = shared(metrics=lambda: b"emr_sync_up 1\n")
    with asking(first) as found:
        assert (found.metrics(), found.readiness()) == (b"emr_sync_up 1\n", UNREACHABLE)
        waits = [one.admit("robin", "10.0.0.1", NOW) for one in (first, found) * 3]
        assert waits == [timedelta(0)] * 5 + [timedelta(seconds=1)]
        found.accept("robin", "10.0.0.1", NOW)
        assert first.admit("robin", "10.0.0.1", NOW) == timedelta(0)


def test_a_question_that_fails_is_not_answered_and_the_next_one_is() -> None:
    results = iter([b"later"])

    def metrics() -> bytes:
        if not failed.is_set():
            failed.set()
            raise OSError("the disk of db.internal is full")
        return next(results)

    failed = threading.Event()
    with asking(shared(metrics=metrics)) as found:
        with pytest.raises(ProblemDetails) as refused:
            found.metrics()
        assert (refused.value.status, "db.internal" in refused.value.detail) == (503, False)
        assert found.metrics() == b"later"


def test_while_an_answer_is_owed_nothing_else_is_asked_and_the_late_one_is_not_taken_for_another() -> None:
    with connected() as (ours, questions):
        for within in (0.01, 3600.0):
            with pytest.raises(ProblemDetails):
                questions.ask("metrics", within=within)
        assert (ours.recv(), ours.poll()) == (("metrics", ()), False)
        ours.send((True, b"late"))
        thread = threading.Thread(target=answer, args=(ours, shared(metrics=lambda: b"in time")))
        thread.start()
        assert questions.ask("metrics") == b"in time"
        questions.close()
        thread.join()


def test_readiness_is_that_of_the_first_process_and_left_to_the_own_view_without_it() -> None:
    ready = Readiness(ready=True, degraded=False, database="ok", schema="ok", sources=())
    with asking(shared(readiness=lambda: ready)) as found:
        assert asked_readiness(found)() == ready
    with connected() as (ours, questions):
        ours.close()
        assert asked_readiness(questions.shared())() is None
