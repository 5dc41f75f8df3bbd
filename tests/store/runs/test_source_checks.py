"""How far an EMR and the store agree: only what really was compared is said, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from store.db.database import Database
from store.runs.runs import Journal
from store.runs.source_checks import DRY, FULL, Agreement, Checked, Findings, counted, newest

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ran(database: Database, at: datetime, kind: str = "full", status: str = "done", **counts: int) -> str:
    journal = Journal(database)
    run = journal.start("feed", "clinic", kind, now=at)
    with database.write("clinic") as transaction:
        journal.progress(transaction, run, counts, None, now=at)
    journal.finish(run, status, None, at + timedelta(minutes=1))
    return run.id


def test_where_nothing_was_compared_nothing_is_said(database: Database) -> None:
    assert newest(database, "clinic", "feed") is None
    ran(database, NOON, "incremental", applied=5)
    assert newest(database, "clinic", "feed") is None


def test_the_first_read_of_everything_compares_with_nothing(database: Database) -> None:
    ran(database, NOON, applied=100)
    assert newest(database, "clinic", "feed") is None


def test_a_later_full_read_says_how_many_records_agreed(database: Database) -> None:
    ran(database, NOON, applied=100)
    run = ran(database, NOON + HOUR, unchanged=97, applied=1, held=1, merged=1, stale=2, rejected=3, filtered=9)
    found = newest(database, "clinic", "feed")
    assert found == Agreement(NOON + HOUR + timedelta(minutes=1), FULL, run, agreed=97, differed=3, older=2, unusable=3)
    assert (found.compared, found.percent) == (102, 95.0)


@pytest.mark.parametrize("status", ["failed", "running", "waiting"])
def test_a_read_that_did_not_end_well_is_no_comparison(database: Database, status: str) -> None:
    ran(database, NOON, applied=100)
    ran(database, NOON + HOUR, status=status, unchanged=10)
    assert newest(database, "clinic", "feed") is None


def test_a_dry_run_that_is_newer_takes_its_place(database: Database) -> None:
    ran(database, NOON, applied=100)
    ran(database, NOON + HOUR, unchanged=100)
    counts = {"unchanged": 90, "applied": 10, "more_contactable": 2, "less_contactable": 7}
    Findings(database).keep_comparison("feed", "clinic", counts, now=NOON + 2 * HOUR)
    found = newest(database, "clinic", "feed")
    assert found == Agreement(NOON + 2 * HOUR, DRY, None, 90, 10, 0, 0, 2, 7)
    ran(database, NOON + 3 * HOUR, unchanged=100)
    assert (newest(database, "clinic", "feed") or found).way == FULL


def test_another_enterprise_s_comparison_is_not_seen(database: Database) -> None:
    Findings(database).keep_comparison("feed", "clinic", {"unchanged": 1}, now=NOON)
    assert newest(database, "elsewhere", "feed") is None


@pytest.mark.parametrize(("agreed", "differed", "percent"), [(999_999, 1, 99.9), (2, 0, 100.0), (0, 3, 0.0), (0, 0, None)])
def test_a_hundred_percent_means_every_record(agreed: int, differed: int, percent: float | None) -> None:
    assert counted(NOON, FULL, None, {"unchanged": agreed, "applied": differed}).percent == percent


def test_the_newest_check_is_kept_with_its_time(database: Database) -> None:
    findings = Findings(database)
    assert findings.check("feed", "clinic") is None
    findings.keep_check("feed", "clinic", (Checked("token", False, "refused"),), now=NOON)
    lines = (Checked("token", True, "a token was granted"), Checked("plan", True, "full reads"))
    findings.keep_check("feed", "clinic", lines, now=NOON + HOUR)
    assert findings.check("feed", "clinic") == (NOON + HOUR, lines)
    assert findings.check("feed", "elsewhere") is None
