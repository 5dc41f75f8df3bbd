from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.http.headers import moment, retry_after_seconds

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Sun, 01 Nov 2026 12:00:00 GMT", NOW),
        ("Sun, 01 Nov 2026 13:00:00 +0100", NOW),
        ("Sun, 01 Nov 2026 12:00:00", NOW),
        ("", None),
        (None, None),
        ("yesterday", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_a_date_is_read_or_not(header: str | None, found: datetime | None) -> None:
    assert moment(header) == found


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 40, 999_999_999.0),
        ("Sun, 01 Nov 2026 12:02:00 GMT", 120.0),
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0.0),
        ("-5", None),
        ("٣", None),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds
