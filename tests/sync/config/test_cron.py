from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.config import Schedule, cron
from sync.due import Timetable


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
def test_a_cron_line_has_the_meaning_of_crontab(line: str, expected: tuple[str, ...]) -> None:
    assert tuple(cron.parse(line)) == expected


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("* * * *", "must have five fields, has 4"),
        ("60 * * * *", "minute: '60' must be between 0 and 59"),
        ("* * * * mox", "day of week: 'mox'"),
        ("30-10 * * * *", "is reversed"),
        ("*/0 * * * *", "'0' is not a valid step"),
        ("0 0 1 * 1", "set one of them to *"),
        ("0 0 30 2 *", "no month has this day"),
        ("0 0 31 4,6,9,11 *", "no month has this day"),
    ],
)
def test_an_invalid_cron_line_says_why(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        cron.parse(line)


def test_sunday_is_the_same_day_for_the_scheduler() -> None:
    (at,) = ticks("0 3 * * 0", CHICAGO, datetime(2026, 11, 2, 12, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC))
    assert (at.weekday(), at.hour) == (6, 3)
    assert at.astimezone(UTC).hour == 9  # after daylight saving time


def ticks(line: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """The run times of a schedule between two times, in its zone, as the scheduler computes them: each from the last."""
    table, found = Timetable(Schedule(cron=cron.parse(line), time_zone=zone)), list[datetime]()
    due = table.current(None, start)
    while due.due < end:
        found.append(due.due.astimezone(ZoneInfo(zone)))
        due = table.next_after_request(due, due.due, 0)
    return found


def shown(times: list[datetime]) -> list[str]:
    return [f"{at:%m-%dT%H:%M%z}" for at in times]


CHICAGO, BERLIN, LORD_HOWE, SANTIAGO = "America/Chicago", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago"


@pytest.mark.parametrize(
    "line", ["0 0 * * *", "0 1 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "59 2 * * *", "0 3 * * *", "0 23 * * *"]
)
@pytest.mark.parametrize(
    ("zone", "change"),
    [
        (CHICAGO, datetime(2027, 3, 14, tzinfo=UTC)),
        (CHICAGO, datetime(2027, 11, 7, tzinfo=UTC)),
        (BERLIN, datetime(2027, 3, 28, tzinfo=UTC)),
        (BERLIN, datetime(2027, 10, 31, tzinfo=UTC)),
        (LORD_HOWE, datetime(2027, 10, 3, tzinfo=UTC)),  # half an hour
        (LORD_HOWE, datetime(2027, 4, 4, tzinfo=UTC)),
        (SANTIAGO, datetime(2027, 9, 5, tzinfo=UTC)),  # at midnight: 00:00 is not
        (SANTIAGO, datetime(2027, 4, 4, tzinfo=UTC)),
        ("UTC", datetime(2027, 3, 14, tzinfo=UTC)),
    ],
)
def test_each_local_day_has_exactly_one_run_across_clock_changes(line: str, zone: str, change: datetime) -> None:
    start = (change - timedelta(days=3)).replace(tzinfo=ZoneInfo(zone))
    days = [at.date() for at in ticks(line, zone, start, start + timedelta(days=7))]
    assert days == [(start + timedelta(days=number)).date() for number in range(7)]


@pytest.mark.parametrize(
    ("line", "zone", "day", "expected"),
    [
        ("0 0 * * *", CHICAGO, datetime(2027, 3, 15), ["03-15T00:00-0500"]),
        ("30 2 * * *", CHICAGO, datetime(2027, 3, 14), ["03-14T03:00-0500"]),
        ("15,45 2 * * *", CHICAGO, datetime(2027, 3, 14), ["03-14T03:00-0500"]),
        ("30 2,3 * * *", CHICAGO, datetime(2027, 3, 14), ["03-14T03:00-0500", "03-14T03:30-0500"]),
        ("30 1 * * *", CHICAGO, datetime(2027, 11, 7), ["11-07T01:30-0500"]),
        ("0 0 5 9 *", SANTIAGO, datetime(2027, 9, 5), ["09-05T01:00-0300"]),
        ("15 2 * * *", LORD_HOWE, datetime(2027, 10, 3), ["10-03T02:30+1100"]),
    ],
)
def test_a_skipped_local_time_runs_after_the_clock_change_and_a_repeated_one_runs_once(
    line: str, zone: str, day: datetime, expected: list[str]
) -> None:
    start = day.replace(tzinfo=ZoneInfo(zone))
    assert shown(ticks(line, zone, start, start + timedelta(days=1))) == expected


@pytest.mark.parametrize("line", ["0 * * * *", "0 */1 * * *", "0 0-23 * * *"])
@pytest.mark.parametrize(("day", "hours"), [(datetime(2027, 3, 14), 23), (datetime(2027, 11, 7), 25), (datetime(2027, 6, 1), 24)])
def test_an_hourly_line_runs_in_every_elapsed_hour(line: str, day: datetime, hours: int) -> None:
    start = day.replace(tzinfo=ZoneInfo(CHICAGO))
    found = [at.astimezone(UTC) for at in ticks(line, CHICAGO, start, start + timedelta(days=1))]
    assert found == [start.astimezone(UTC) + timedelta(hours=number) for number in range(hours)]


def test_the_next_29_february_may_be_eight_years_away() -> None:
    assert shown([cron.parse("0 0 29 2 *").after(datetime(2097, 1, 1, tzinfo=UTC), ZoneInfo("UTC")) or datetime.min]) == [
        "02-29T00:00+0000"
    ]


def test_a_run_due_at_this_moment_is_included() -> None:
    midnight = datetime(2027, 3, 14, tzinfo=ZoneInfo(CHICAGO))
    assert ticks("0 0 * * *", CHICAGO, midnight, midnight + timedelta(days=2))[:1] == [midnight]


@given(
    st.sampled_from([CHICAGO, BERLIN, LORD_HOWE, SANTIAGO, "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia"]),
    st.datetimes(datetime(2011, 1, 1), datetime(2040, 1, 1)),
    st.sampled_from(["0 0 * * *", "*/20 * * * *", "30 2 * * 0", "5,35 1-3 * * *", "0 0 1 * *", "59 23 31 12 *"]),
)
def test_the_next_run_is_later_with_none_in_between(zone: str, naive: datetime, line: str) -> None:
    moment, parsed = naive.replace(tzinfo=UTC), cron.parse(line)
    found = parsed.after(moment, ZoneInfo(zone))
    assert found is not None
    assert found > moment
    between = moment + (found - moment) / 2
    assert between in (moment, found) or parsed.after(between, ZoneInfo(zone)) == found
