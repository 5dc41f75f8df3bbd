"""When a schedule is due: missed runs, clock changes, and configuration changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.runs.schedule_times import Due
from sync.config import Schedule, cron
from sync.due import SET_BACK, Timetable

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
WEEKLY = Timetable(Schedule(every=WEEK))
HOURLY = Timetable(Schedule(every=HOUR), at_once=True)
NIGHTLY = Timetable(Schedule(cron=cron.parse("0 3 * * *"), jitter=timedelta(minutes=10)))


def known(table: Timetable, due: datetime, asked: datetime | None = None) -> Due:
    return Due(repr(table.schedule), due, asked)


def test_the_first_interval_run_is_due_at_once_and_the_first_full_resync_is_not() -> None:
    assert HOURLY.current(None, NOW).due == NOW
    assert WEEKLY.current(None, NOW).due == NOW + WEEK
    assert NIGHTLY.current(None, NOW).due == NOW + 15 * HOUR


@pytest.mark.parametrize("table", [WEEKLY, HOURLY, NIGHTLY])
def test_missed_runs_are_made_up_once(table: Timetable) -> None:
    """A process that was away for a month must not read the EMR a thousand times."""
    missed = known(table, NOW - 30 * DAY)
    assert table.current(missed, NOW) == missed
    assert table.next_after_request(missed, NOW, 0).due > NOW


def test_intervals_do_not_drift_by_the_delay_of_requests() -> None:
    assert HOURLY.next_after_request(known(HOURLY, NOW), NOW + timedelta(seconds=4), 0.5).due == NOW + HOUR


@pytest.mark.parametrize(("table", "again"), [(WEEKLY, NOW + WEEK), (HOURLY, NOW + HOUR), (NIGHTLY, NOW + 15 * HOUR)])
def test_setting_the_clock_back_stops_no_schedule(table: Timetable, again: datetime) -> None:
    """The clock showed the year 2030 when the last run was requested."""
    assert table.current(known(table, NOW + 1000 * DAY, NOW + 999 * DAY), NOW).due == again


def test_a_small_clock_correction_requests_no_run_twice() -> None:
    asked = datetime(2026, 11, 2, 3, 0, 30, tzinfo=UTC)
    tomorrow = NIGHTLY.next_after_request(known(NIGHTLY, asked), asked, 0)
    assert NIGHTLY.current(tomorrow, asked - timedelta(seconds=45)) == tomorrow
    assert timedelta(minutes=15) > SET_BACK


def test_an_interval_starts_at_the_last_run_whatever_the_configuration_changes() -> None:
    before = Timetable(Schedule(every=WEEK, jitter=timedelta(minutes=1)))
    assert WEEKLY.current(known(before, NOW + WEEK, NOW - 6 * DAY), NOW).due == NOW + DAY


def test_a_changed_cron_schedule_is_due_at_its_next_time() -> None:
    assert NIGHTLY.current(known(WEEKLY, NOW, NOW - 30 * DAY), NOW).due == NOW + 15 * HOUR


@given(st.floats(0, 1), st.sampled_from([timedelta(0), timedelta(minutes=10), timedelta(days=30)]))
def test_jitter_never_reaches_the_following_due_time(chance: float, jitter: timedelta) -> None:
    night = Timetable(Schedule(cron=cron.parse("0 3 * * *"), jitter=jitter))
    due = night.next_after_request(known(night, NOW), NOW, chance).due
    assert NOW + 15 * HOUR <= due < NOW + 15 * HOUR + DAY
    hour = Timetable(Schedule(every=HOUR, jitter=jitter))
    assert NOW + HOUR / 2 <= hour.next_after_request(known(hour, NOW), NOW, chance).due <= NOW + HOUR * 1.5
    assert hour.current(hour.next_after_request(known(hour, NOW), NOW, chance), NOW).due > NOW
