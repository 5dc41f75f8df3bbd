"""A kept connection shows what is committed, and is replaced when it fails or is old."""

from __future__ import annotations

import pytest

from store.db import schema
from store.db.database import Database
from store.db.kept_connection import KeptConnection
from store.db.limits import POOL
from store.db.outage import LATE, MOVED, Unavailable
from store.db.tables import SettingRow

COUNT = "SELECT count(*) FROM settings"
LIST = "SELECT enterprise FROM settings WHERE enterprise IN ??"


@pytest.fixture
def empty(database: Database) -> Database:
    schema.migrate(database)
    return database


def count(database: Database, kept: KeptConnection) -> int:
    with kept as connection:
        return int(database.select(connection, COUNT, [])[0][0])


def add(database: Database, enterprise: str = "general") -> None:
    row = (enterprise, "{}", "", database.clock())
    with database.write(enterprise) as transaction:
        database.insert(transaction, SettingRow, ("enterprise", "settings", "actor", "at"), [row])


def test_each_read_sees_what_was_committed_before_it_over_the_same_connection(empty: Database) -> None:
    kept = KeptConnection(empty)
    counts, connections = [], set()
    for _ in range(3):
        counts.append(count(empty, kept))
        with kept as connection:
            connections.add(id(connection))
        add(empty)
    kept.close()
    assert (counts, len(connections)) == ([0, 1, 2], 1)


def test_it_is_replaced_after_a_failure_which_is_counted(empty: Database) -> None:
    kept = KeptConnection(empty)
    with pytest.raises(Unavailable), kept as first:
        raise Unavailable(LATE)
    assert first.closed
    assert count(empty, kept) == 0
    assert [empty.failures.state().reason] == [LATE]  # type: ignore[union-attr]
    kept.close()


def test_it_is_replaced_when_it_is_as_old_as_a_pooled_one_may_get(empty: Database) -> None:
    now = [0.0]
    kept = KeptConnection(empty, lambda: now[0])
    with kept as first:
        pass
    now[0] = float(POOL["pool_recycle"])
    assert count(empty, kept) == 0
    assert first.closed
    kept.close()


def test_it_goes_back_to_the_pool(empty: Database) -> None:
    kept = KeptConnection(empty)
    before = empty.engine.pool.checkedout()  # type: ignore[attr-defined]
    assert count(empty, kept) == 0
    assert empty.engine.pool.checkedout() == before + 1  # type: ignore[attr-defined]
    kept.close()
    kept.close()
    assert empty.engine.pool.checkedout() == before  # type: ignore[attr-defined]


def test_a_file_that_was_moved_away_is_not_read(empty: Database) -> None:
    kept = KeptConnection(empty)
    assert count(empty, kept) == 0
    if empty.file is not None:
        empty.file.path.rename(empty.file.path.with_suffix(".moved"))
        with pytest.raises(Unavailable, match=MOVED), kept:
            pass
        empty.file.path.with_suffix(".moved").rename(empty.file.path)
    assert count(empty, kept) == 0
    kept.close()


@pytest.mark.parametrize(
    "wanted", [[], ["general"], ["general", "local"], ["Ünï"], ["Ünï", "general"], ["'\"\\\n{},"], ["\ud800"], ["\ud800", "general"]]
)
def test_a_list_of_any_length_finds_what_it_names(empty: Database, wanted: list[str]) -> None:
    for enterprise in ("general", "local", "Ünï"):
        add(empty, enterprise)
    if "\ud800" in wanted and not empty.is_sqlite:
        wanted = [one for one in wanted if one != "\ud800"]  # its driver refuses half a surrogate pair
    with empty.read() as connection:
        found = {row[0] for row in empty.select(connection, LIST, [wanted])}
    assert found == {"general", "local", "Ünï"} & set(wanted)
