from __future__ import annotations

import pytest

from store.db.database import Database
from store.errors import FeedRestarted
from store.patients import feed_position
from store.patients.preferences import Preferences
from tests.factories import CLINIC, FEED, NOW, clinic, statements


def test_a_feed_without_changes_begins_at_0(database: Database) -> None:
    assert feed_position.epoch(database, CLINIC, 0) == "beginning"
    feed_position.check(database, CLINIC, 0, "beginning")
    with pytest.raises(FeedRestarted, match="after=0"):
        feed_position.check(database, CLINIC, 1, "")


def test_a_number_of_another_enterprise_has_no_epoch_here(database: Database) -> None:
    preferences = Preferences(database, {CLINIC: clinic()})
    with database.write(CLINIC) as transaction:
        preferences.apply_many(transaction, CLINIC, FEED, [statements("A")], now=NOW)
    ((last, *_),) = preferences.changes(CLINIC, 0, 10)
    epoch = feed_position.epoch(database, CLINIC, last)
    feed_position.check(database, CLINIC, last, epoch)
    assert feed_position.epoch(database, "elsewhere", last) != epoch
    for enterprise, after in ((CLINIC, last + 1), ("elsewhere", last)):
        with pytest.raises(FeedRestarted):
            feed_position.check(database, enterprise, after, "")
