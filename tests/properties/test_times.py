"""Properties of all times, whatever their precision. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2 import timestamp
from adapters.mapping import iso_time
from store import times
from store.times import Time

ZONES = st.sampled_from([ZoneInfo(name) for name in ("America/Chicago", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC")])
moments = st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
spans = st.builds(lambda start, width: Time(start, start + width), moments, st.timedeltas(timedelta(0), timedelta(days=400)))
FORMS = ("%Y", "%Y%m", "%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%d%H%M%S.%f")
ISO_FORMS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f")


@given(moments, ZONES, st.sampled_from(FORMS))
def test_a_written_time_includes_its_moment(moment: datetime, zone: ZoneInfo, form: str) -> None:
    """Also in the repeated hour, where the moment may be the first or the second reading."""
    found = timestamp.time(moment.astimezone(zone).strftime(form).zfill(len(moment.strftime(form))), zone)
    assert found is not None
    assert found.earliest <= moment <= found.latest


@given(moments, st.integers(-14 * 60, 14 * 60), st.integers(0, 9))
def test_an_hl7_time_with_an_offset_is_as_long_as_its_last_digit(moment: datetime, offset: int, digits: int) -> None:
    written = moment.astimezone(timezone(timedelta(minutes=offset)))
    fraction = f".{written.microsecond:06}000"[: digits + 1] if digits else ""
    found = timestamp.time(f"{written:%Y%m%d%H%M%S}{fraction}{written:%z}", UTC)
    width = timedelta(microseconds=10 ** max(6 - digits, 0))
    assert found is not None
    assert found.earliest <= moment < found.earliest + width
    assert found.latest - found.earliest == width - times.STEP
    assert timestamp.offset(f"{written:%Y%m%d%H%M%S}{fraction}{written:%z}") == written.tzinfo


@pytest.mark.parametrize(
    "text",
    [
        "20261101240000",
        "20261101083060",
        "20261301083000",
        "20261101083000+0060",
        "20261101083000+1401",
        "20261101083000.+0000",
        "00010101000000+0100",
        "99991231235959",
        "99991231235959-0100",
        "\uff12\uff10\uff12\uff161101083000",
    ],
)
def test_a_time_that_no_clock_shows_is_none(text: str) -> None:
    assert timestamp.time(text, UTC) is None


@given(moments, ZONES, st.sampled_from(ISO_FORMS))
def test_an_iso_time_includes_its_moment(moment: datetime, zone: ZoneInfo, form: str) -> None:
    found = iso_time.read(moment.astimezone(zone).strftime(form), zone)
    assert found is not None
    assert found.earliest <= moment <= found.latest


@given(st.text(max_size=30), ZONES)
def test_any_text_is_a_time_or_none(text: str, zone: ZoneInfo) -> None:
    for found in (timestamp.time(text, zone), iso_time.read(text, zone)):
        assert found is None or found.earliest <= found.latest


@given(spans, spans)
def test_two_times_compare_in_exactly_one_of_three_ways(one: Time, other: Time) -> None:
    overlap = one.earliest <= other.latest and other.earliest <= one.latest
    assert [one.is_after(other), one.is_before(other), overlap].count(True) == 1
    assert one.is_after(other) == other.is_before(one)
    assert one.is_newer(other) is (None if overlap else one.is_after(other))


@given(spans, spans)
def test_the_newest_of_two_is_not_before_either(one: Time, other: Time) -> None:
    found = times.newest(one, other)
    assert found == times.newest(other, one)
    assert not found.is_before(one)
    assert not found.is_before(other)
    assert found.latest in (one.latest, other.latest)


@given(spans, moments)
def test_a_received_time_is_no_later_than_it_was_written_nor_than_clocks_differ(time: Time, receipt: datetime) -> None:
    found = times.received(time, receipt)
    assert found.earliest <= found.latest <= max(time.latest, receipt)
    assert found.latest <= receipt + times.AHEAD
    assert found.earliest <= min(time.earliest, receipt)


DIGITS = st.from_regex(r"\d{4}-[\dW]\d-[\d-]\d[T ]\d\d:\d\d:\d\d[.,][\dZ]{2,3}[Zz+]", fullmatch=True)
INSTANTS = st.datetimes(min_value=datetime(1, 1, 1)).map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")


@given(st.one_of(INSTANTS, DIGITS, st.text(min_size=24, max_size=24)))
def test_an_instant_with_milliseconds_is_read_as_by_its_parts(text: str) -> None:
    assert iso_time.read(text, UTC) == iso_time.by_parts(text, UTC)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=366)),
    st.integers(-12, 14),
)
def test_a_time_with_an_offset_is_that_of_a_zone_which_has_it_all_year(start: datetime, width: timedelta, hours: int) -> None:
    zone = ZoneInfo(f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT")
    assert times.written(start, start + width, timezone(timedelta(hours=hours))) == times.written(start, start + width, zone)
