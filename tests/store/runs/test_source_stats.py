"""Records by hour, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from store.db.database import Database
from store.runs.source_stats import KEPT, Arrivals, Hour

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def came(database: Database, at: datetime, source: str = "feed", **outcomes: int) -> None:
    with database.write("clinic") as transaction:
        Arrivals(database).count(transaction, source, "clinic", outcomes, now=at)


def test_records_of_an_hour_add_up_and_hours_without_any_are_zeros(database: Database) -> None:
    came(database, NOON, applied=3, unchanged=2)
    came(database, NOON + timedelta(minutes=59), rejected=1, held=1, filtered=4)
    came(database, NOON + timedelta(hours=2), stale=1)
    came(database, NOON, "other", applied=9)
    hours = Arrivals(database).hours("clinic", "feed", now=NOON + timedelta(hours=2, minutes=5), count=4)
    assert hours == [
        Hour(NOON - timedelta(hours=1)),
        Hour(NOON, 11, 4, 1),
        Hour(NOON + timedelta(hours=1)),
        Hour(NOON + timedelta(hours=2), 1, 0, 0),
    ]


def test_nothing_that_came_is_no_row(database: Database) -> None:
    came(database, NOON)
    with database.read() as connection:
        assert database.select(connection, "SELECT count(*) FROM arrivals", [])[0][0] == 0


def test_what_is_rolled_back_was_not_counted(database: Database) -> None:
    try:
        with database.write("clinic") as transaction:
            Arrivals(database).count(transaction, "feed", "clinic", {"applied": 1}, now=NOON)
            raise RuntimeError
    except RuntimeError:
        pass
    assert Arrivals(database).hours("clinic", "feed", now=NOON, count=1) == [Hour(NOON)]


def test_hours_whose_time_is_over_are_erased_when_a_new_one_begins(database: Database) -> None:
    came(database, NOON, applied=1)
    came(database, NOON, "other", applied=1)
    came(database, NOON + KEPT + timedelta(hours=1), applied=1)
    with database.read() as connection:
        assert database.select(connection, "SELECT source, count(*) FROM arrivals GROUP BY source ORDER BY source", []) == [
            ("feed", 1),
            ("other", 1),
        ]


def test_hours_of_another_enterprise_are_not_seen(database: Database) -> None:
    came(database, NOON, applied=1)
    assert Arrivals(database).hours("elsewhere", "feed", now=NOON, count=1) == [Hour(NOON)]
