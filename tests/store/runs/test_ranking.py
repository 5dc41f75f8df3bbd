"""Rejections ranked, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

from store.db.database import Database
from store.runs.runs import Journal, Rejected
from store.runs.source_stats import ranked

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def refused(
    database: Database, path: str, times: int, source: str = "feed", enterprise: str = "clinic", reason: str = "code_unmapped"
) -> None:
    rows = [Rejected(reason, "no table has it", path, "file:1", f"payload {number}".encode()) for number in range(times)]
    with database.write(enterprise) as transaction:
        Journal(database).reject(transaction, rows, source=source, enterprise=enterprise, run_id=None, now=NOON)


def test_the_most_frequent_come_first_with_an_example(database: Database) -> None:
    refused(database, "ZCP-2", 2)
    refused(database, "ZCP-2", 2)
    refused(database, "PV1-18", 3)
    refused(database, "ZCP-2", 5, source="other")
    refused(database, "ZCP-9", 9, enterprise="elsewhere", source="far")
    found = ranked(database, "clinic")
    assert [one[:5] for one in found] == [
        ("other", "code_unmapped", "ZCP-2", 5, 5),
        ("feed", "code_unmapped", "ZCP-2", 2, 4),
        ("feed", "code_unmapped", "PV1-18", 3, 3),
    ]
    assert Journal(database).rejection_store.summary(found[1].example).path == "ZCP-2"
    assert [one.path for one in ranked(database, "clinic", "feed", 1)] == ["ZCP-2"]


def test_what_was_mended_is_not_ranked(database: Database) -> None:
    refused(database, "ZCP-2", 1)
    journal = Journal(database)
    with database.write("clinic") as transaction:
        journal.resolve(transaction, journal.rejections("clinic")[0].id, now=NOON)
    assert ranked(database, "clinic") == []
