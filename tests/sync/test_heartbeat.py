from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest

from store.runs.runs import Run, RunStatus
from sync.heartbeat import alive
from tests.factories import NOW

RUN = Run("run_1", "adt", "clinic", "incremental", RunStatus.RUNNING, NOW)


class FlakyJournal:
    """Fails the first heartbeats, like a database during a short outage."""

    def __init__(self, failures: int) -> None:
        self.failures, self.attempts, self.succeeded = failures, 0, threading.Event()

    def alive(self, run: Run, now: datetime) -> None:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise ConnectionError("away")
        self.succeeded.set()


def test_the_next_heartbeat_makes_up_for_a_failed_one() -> None:
    journal: Any = FlakyJournal(failures=2)
    with alive(journal, RUN, lambda: NOW, every=0.01):
        assert journal.succeeded.wait(10)
    beats = journal.attempts
    assert beats >= 3
    assert not journal.succeeded.wait(0) or journal.attempts == beats, "the heartbeat continues after the work"


def test_an_error_in_the_work_passes_through_the_heartbeat() -> None:
    journal: Any = FlakyJournal(failures=1_000)
    with pytest.raises(KeyError), alive(journal, RUN, lambda: NOW, every=0.001):
        raise KeyError("of the work")
    assert not [one for one in threading.enumerate() if one.name == "alive-adt"]
