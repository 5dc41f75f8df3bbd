from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from sync import cron
from sync.config import Schedule
from sync.schedule import trigger


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("*/20 * * * *", ("0,20,40", "*", "*", "*", "*")),
        ("0 3 * * 0", ("0", "3", "*", "*", "sun")),
        ("0 3 * * 7", ("0", "3", "*", "*", "sun")),
        ("0 3 * * 1-5", ("0", "3", "*", "*", "mon,tue,wed,thu,fri")),
        ("5,35 8-10 1 JAN *", ("5,35", "8,9,10", "1", "1", "*")),
        ("0 0 * * */2", ("0", "0", "*", "*", "sun,tue,thu,sat")),
        ("0 0 * * sat,SUN", ("0", "0", "*", "*", "sun,sat")),
        ("10/25 * * * *", ("10,35", "*", "*", "*", "*")),
    ],
)
def test_a_line_means_what_crontab_says(line: str, expected: tuple[str, ...]) -> None:
    assert tuple(cron.parse(line)) == expected


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("* * * *", "has 4 fields"),
        ("60 * * * *", "minute: '60' is not between 0 and 59"),
        ("* * * * mox", "day of week: 'mox'"),
        ("30-10 * * * *", "runs backwards"),
        ("*/0 * * * *", "'0' is no step"),
        ("0 0 1 * 1", "leave one of them *"),
    ],
)
def test_a_line_that_means_nothing_says_why(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        cron.parse(line)


def test_sunday_is_sunday_for_the_scheduler_too() -> None:
    clock = trigger(Schedule(cron=cron.parse("0 3 * * 0"), time_zone="America/Chicago"))
    at = clock.get_next_fire_time(None, datetime(2026, 11, 2, 12, tzinfo=UTC))
    assert at is not None
    assert (at.weekday(), at.hour) == (6, 3)
    assert at.astimezone(UTC).hour == 9  # after daylight saving time


def test_an_interval_ticks_at_its_length() -> None:
    clock = trigger(Schedule(every=timedelta(minutes=15)))
    now = datetime(2026, 11, 2, 12, tzinfo=UTC)
    first = clock.get_next_fire_time(None, now)
    assert first is not None
    second = clock.get_next_fire_time(first, first)
    assert second is not None
    assert second - first == timedelta(minutes=15)
