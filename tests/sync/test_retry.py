from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from adapters.base import AdapterError
from sync import retry
from sync.config import Backoff

BACKOFF = Backoff(attempts=4, first_wait=timedelta(seconds=2), longest_wait=timedelta(seconds=10))
AWAY = AdapterError("away")
EVEN = 0.5


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2.0), (2, 4.0), (3, 8.0), (4, None)])
def test_waits_double_until_the_attempts_are_exhausted(attempt: int, seconds: float | None) -> None:
    assert retry.wait(AWAY, attempt, BACKOFF, EVEN) == seconds


def test_waits_do_not_exceed_the_maximum() -> None:
    assert retry.wait(AWAY, 9, Backoff(20, timedelta(seconds=2), timedelta(seconds=10)), EVEN) == 10.0


def test_waits_are_randomised() -> None:
    assert retry.wait(AWAY, 1, BACKOFF, 0.0) == pytest.approx(1.8)
    assert retry.wait(AWAY, 1, BACKOFF, 1.0) == pytest.approx(2.2)


def test_retry_after_is_obeyed() -> None:
    assert retry.wait(AdapterError("busy", retry_after=7.0), 1, BACKOFF, EVEN) == 7.0
    assert retry.wait(AdapterError("busy", retry_after=0.1), 1, BACKOFF, EVEN) == 2.0


def test_a_retry_after_over_the_maximum_ends_the_run() -> None:
    assert retry.wait(AdapterError("busy", retry_after=11.0), 1, BACKOFF, EVEN) is None


def test_a_permanent_failure_is_never_retried() -> None:
    assert retry.wait(AdapterError("refused", permanent=True), 1, BACKOFF, EVEN) is None


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OperationalError("", {}, sqlite3.OperationalError("database is locked")), True),
        (IntegrityError("", {}, sqlite3.IntegrityError()), False),
        (DataError("", {}, sqlite3.DataError()), False),
        (TimeoutError(), True),
        (UnicodeEncodeError("utf-8", "", 0, 1, ""), False),
    ],
)
def test_which_errors_are_transient(error: Exception, passes: bool) -> None:
    assert retry.passes(error) is passes
