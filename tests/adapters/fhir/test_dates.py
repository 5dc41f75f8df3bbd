from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.fhir.dates import ended, first_day, instant, last_day


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("2026-10-31T08:00:00.123Z", datetime(2026, 10, 31, 8, 0, 0, 123_000, UTC)),
        ("2026-10-31T08:00:00-05:00", datetime(2026, 10, 31, 13, tzinfo=UTC)),
        ("2026-10-31T08:00:00", datetime(2026, 10, 31, 8, tzinfo=UTC)),
        ("2026-10-31", datetime(2026, 10, 31, tzinfo=UTC)),
        ("2026-10", datetime(2026, 10, 1, tzinfo=UTC)),
        ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("2026-13", None),
        ("soon", None),
        ("", None),
        (20261031, None),
        (None, None),
    ],
)
def test_written_time_is_read_as_utc_or_not_at_all(written: Any, time: datetime | None) -> None:
    assert instant(written) == time


@pytest.mark.parametrize(
    ("written", "first", "last"),
    [
        ("2024", "2024-01-01", "2024-12-31"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2024-02-03", "2024-02-03", "2024-02-03"),
        ("2024-02-03T10:00:00Z", "2024-02-03", "2024-02-03"),
        ("2024-02-03T23:30:00-05:00", "2024-02-03", "2024-02-03"),
        ("20240203", "2024-02-03", "2024-02-03"),
        ("later", None, None),
        (None, None, None),
    ],
)
def test_partial_date_covers_its_whole_span(written: Any, first: str | None, last: str | None) -> None:
    assert (first_day(written), last_day(written)) == (first, last)


@pytest.mark.parametrize(
    ("element", "over"),
    [
        ({"use": "old"}, True),
        ({"period": {"end": "2026-10"}}, True),
        ({"period": {"end": "2026-11-01"}}, False),
        ({"period": "x"}, False),
        ({}, False),
    ],
)
def test_old_or_expired_element_has_ended(element: dict[str, Any], over: bool) -> None:
    assert ended(element, "2026-11-01") is over
