"""What failed a moment ago is shown for some minutes, and logged once a minute."""

from __future__ import annotations

from store.db.recent_failures import RECENT, TOLD_EVERY, RecentFailures


class Ticks:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_failures_are_shown_together_until_they_are_long_ago() -> None:
    ticks = Ticks()
    failures = RecentFailures("database", ticks)
    assert failures.state() is None
    failures.add("the disk is full")
    ticks.now = RECENT.total_seconds() - 1
    failures.add("the database is locked")
    state = failures.state()
    assert state is not None
    assert (state.kind, state.count, state.reason) == ("database", 2, "the database is locked")
    assert state.since <= state.last
    ticks.now += RECENT.total_seconds()
    assert failures.state() is None
    failures.add("the disk is full")
    again = failures.state()
    assert again is not None
    assert (again.count, failures.total) == (1, 3)


def test_a_log_is_told_once_a_minute_and_of_each_failure() -> None:
    ticks = Ticks()
    failures = RecentFailures("database", ticks)
    assert failures.untold() is None
    failures.add("the disk is full")
    assert failures.untold() == failures.state()
    failures.add("the disk is full")
    assert failures.untold() is None
    ticks.now = TOLD_EVERY.total_seconds()
    state = failures.untold()
    assert state is not None
    assert state.count == 2
    ticks.now *= 2
    assert failures.untold() is None


def test_a_failure_that_is_long_ago_is_still_logged() -> None:
    ticks = Ticks()
    failures = RecentFailures("memory", ticks)
    failures.add("too little")
    ticks.now = RECENT.total_seconds() * 2
    assert failures.state() is None
    assert failures.untold() is not None
