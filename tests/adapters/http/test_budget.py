from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adapters.http.budget import Budget, BudgetLimits, export_allowed_at, next_slot, quiet_hours, quiet_until
from adapters.notes import InMemoryNotes

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("at", "hours", "until"),
    [
        ("12:00", ["07:00-19:00"], "2026-11-02 19:00"),
        ("19:00", ["07:00-19:00"], None),
        ("06:59", ["07:00-19:00"], None),
        ("23:00", ["22:00-06:00"], "2026-11-03 06:00"),
        ("05:00", ["22:00-06:00"], "2026-11-02 06:00"),
        ("08:00", ["07:00-12:00", "12:00-19:00"], "2026-11-02 19:00"),
        ("08:00", [], None),
    ],
)
def test_quiet_hours_end_when_the_last_of_them_ends(at: str, hours: list[str], until: str | None) -> None:
    now = datetime.fromisoformat(f"2026-11-02 {at}+00:00")
    found = quiet_until(now, [quiet_hours(one) for one in hours], "UTC")
    assert (f"{found:%Y-%m-%d %H:%M}" if found else None) == until


def test_quiet_hours_are_wall_clock_time_of_the_site() -> None:
    found = quiet_until(NOW, [quiet_hours("05:30-07:00")], "America/Chicago")  # 06:00 there
    assert found == datetime(2026, 11, 2, 13, 0, tzinfo=UTC)


def test_quiet_hours_over_the_night_the_clocks_change() -> None:
    night = datetime(2026, 11, 1, 4, 0, tzinfo=UTC)  # 23:00 in Chicago; the clocks go back at 2:00
    assert quiet_until(night, [quiet_hours("22:00-06:00")], "America/Chicago") == datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "hours", "until"),
    [
        ("2026-11-01T06:10", "00:00-01:30", "2026-11-01T06:30"),
        ("2026-11-01T06:40", "00:00-01:30", None),
        ("2026-11-01T07:10", "00:00-01:30", "2026-11-01T07:30"),  # 01:10 for the second time
        ("2026-11-01T07:40", "00:00-01:30", None),
        ("2026-11-01T07:10", "01:00-02:00", "2026-11-01T08:00"),
        ("2027-03-14T07:10", "01:00-02:30", "2027-03-14T08:30"),  # there is no 02:30
        ("2027-03-14T07:10", "01:00-03:00", "2027-03-14T08:00"),
    ],
)
def test_quiet_hours_end_in_the_future_when_the_clocks_change(now: str, hours: str, until: str | None) -> None:
    found = quiet_until(datetime.fromisoformat(f"{now}+00:00"), [quiet_hours(hours)], "America/Chicago")
    assert found == (datetime.fromisoformat(f"{until}+00:00") if until else None)


@pytest.mark.parametrize("text", ["", "7-19", "07:00", "25:00-26:00", "07:00-07:00"])
def test_quiet_hours_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="07:00-19:00"):
        quiet_hours(text)


def test_requests_are_evenly_spaced() -> None:
    time = Time()
    budget = Budget(BudgetLimits(requests_per_minute=120), time, time.sleep)
    for _ in range(4):
        budget.spend()
    assert time.slept == [0.5, 0.5, 0.5]


def test_what_was_spent_outlives_the_process() -> None:
    time, notes = Time(), InMemoryNotes()
    Budget(BudgetLimits(requests_per_minute=6), time, time.sleep, notes).spend()
    Budget(BudgetLimits(requests_per_minute=6), time, time.sleep, notes).spend()
    assert time.slept == [10.0]


def test_without_a_limit_nothing_is_noted_and_nobody_waits() -> None:
    time, notes = Time(), InMemoryNotes()
    Budget(BudgetLimits(), time, time.sleep, notes).spend()
    assert (time.slept, notes.read("budget.requests")) == ([], None)


def test_a_note_that_cannot_be_read_is_no_obstacle() -> None:
    assert next_slot("gibberish", NOW, 60) == NOW
    assert export_allowed_at("gibberish", timedelta(hours=24)) is None


def test_one_export_in_its_window_also_after_a_restart() -> None:
    time, notes = Time(), InMemoryNotes()
    limits = BudgetLimits(bulk_every=timedelta(hours=24))
    first = Budget(limits, time, time.sleep, notes)
    assert first.export_wait() is None
    first.record_export()
    time.now += timedelta(hours=23)
    wait = Budget(limits, time, time.sleep, notes).export_wait()
    assert wait is not None
    assert wait.seconds == 3600
    time.now += timedelta(hours=1)
    assert Budget(limits, time, time.sleep, notes).export_wait() is None
