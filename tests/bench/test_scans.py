"""The growth benchmark names each table that a statement reads as a whole, and no other."""

from __future__ import annotations

import pytest

from bench.scans import SMALL, whole_tables
from store.db.database import Database
from store.db.tables import SettingRow

COLUMNS = ("enterprise", "settings", "actor", "at")
WHOLE, BY_KEY = "SELECT enterprise FROM settings WHERE actor = ?", "SELECT actor FROM settings WHERE enterprise = ?"


def fill(database: Database, rows: int) -> None:
    with database.write("general") as transaction:
        database.insert(transaction, SettingRow, COLUMNS, [(f"{number:06}", "{}", "", database.clock()) for number in range(rows)])


def asked(database: Database, query: str) -> list[str]:
    def work() -> None:
        with database.read() as connection:
            database.select(connection, query, ["000007"])

    return whole_tables(database, work)


@pytest.mark.parametrize(("query", "expected"), [(WHOLE, ["settings"]), (BY_KEY, [])])
def test_a_table_is_named_only_if_a_statement_reads_all_of_its_rows(database: Database, query: str, expected: list[str]) -> None:
    fill(database, 20 * SMALL)
    assert asked(database, query) == expected


def test_a_small_table_may_be_read_as_a_whole(database: Database) -> None:
    fill(database, SMALL)
    assert asked(database, WHOLE) == []
