"""Statements go straight to the driver: its errors, its lost connections, and many statements in one piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from store.db.database import COPY_FROM, Database
from store.db.sql import in_json
from store.db.tables import SourceNoteRow, SourceStateRow
from store.domain.documents import instant

COLUMNS = ("source", "key", "enterprise", "text")
HOSPITAL = "general"


@pytest.fixture
def opened(database_url: str) -> Iterator[Database]:
    database = Database.open(database_url)
    yield database
    database.close()


def notes(database: Database) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return database.select(connection, "SELECT key, text FROM source_notes ORDER BY key", [])


def row(key: str, text: str = "") -> tuple[str, str, str, str]:
    return ("adt", key, HOSPITAL, text)


def in_one_piece(database: Database, *keys: str) -> None:
    with database.write(HOSPITAL) as transaction, database.together(transaction, len(keys)):
        for key in keys:
            database.insert(transaction, SourceNoteRow, COLUMNS, [row(key)])


@pytest.mark.parametrize("rows", [1, COPY_FROM])
def test_a_row_that_exists_is_an_integrity_error_that_quotes_no_parameters(opened: Database, rows: int) -> None:
    with opened.write(HOSPITAL) as transaction:
        opened.insert(transaction, SourceNoteRow, COLUMNS, [row("a")])
    with pytest.raises(IntegrityError) as raised, opened.write(HOSPITAL) as transaction:
        opened.insert(transaction, SourceNoteRow, COLUMNS, [row("a", "invented text"), *(row(f"b{number}") for number in range(rows))])
    assert (raised.value.params, raised.value.statement) == (None, "")
    assert "invented text" not in str(raised.value)
    assert notes(opened) == [("a", "")]


def test_a_statement_that_is_none_is_an_error_of_the_database(opened: Database) -> None:
    with pytest.raises(DBAPIError), opened.read() as connection:
        opened.select(connection, "SELECT nothing FROM nowhere", [])
    assert notes(opened) == []


def test_statements_sent_in_one_piece_are_all_there_and_read_what_went_before(opened: Database) -> None:
    with opened.write(HOSPITAL) as transaction, opened.together(transaction, 2):
        opened.insert(transaction, SourceNoteRow, COLUMNS, [row("a"), row("b")])
        opened.update(transaction, SourceNoteRow, ("source", "key"), ("text",), [("new", "adt", "a")])
        assert opened.select(transaction, "SELECT text FROM source_notes WHERE key = ?", ["a"]) == [("new",)]
        opened.delete(transaction, SourceNoteRow, ("source", "key"), [("adt", "b")])
        opened.upsert(transaction, SourceNoteRow, COLUMNS, [row(f"c{number:03}") for number in range(COPY_FROM)])
    assert [key for key, _ in notes(opened)] == ["a", *(f"c{number:03}" for number in range(COPY_FROM))]


def test_one_bad_statement_of_a_piece_undoes_the_whole_transaction(opened: Database) -> None:
    with opened.write(HOSPITAL) as transaction:
        opened.insert(transaction, SourceNoteRow, COLUMNS, [row("a")])
    with pytest.raises(IntegrityError):
        in_one_piece(opened, "b", "a", "c")
    assert notes(opened) == [("a", "")]


def test_many_rows_in_one_piece_go_without_copy(opened: Database) -> None:
    with opened.write(HOSPITAL) as transaction, opened.together(transaction, 1):
        opened.insert(transaction, SourceNoteRow, COLUMNS, [row(f"{number:03}") for number in range(2 * COPY_FROM)])
    assert len(notes(opened)) == 2 * COPY_FROM


def test_times_come_back_as_they_went_in(opened: Database) -> None:
    heard = datetime(2026, 11, 1, 8, 30, 0, 123456, UTC)
    with opened.write(HOSPITAL) as transaction:
        said = [("adt", HOSPITAL, heard), ("fhir", HOSPITAL, heard), ("bulk", HOSPITAL, None)]
        opened.insert(transaction, SourceStateRow, ("source", "enterprise", "last_heard"), said)
        found = dict(opened.select(transaction, "SELECT source, last_heard FROM source_states", []))
    assert found.pop("bulk") is None
    assert {source: instant(at) for source, at in found.items()} == {"adt": heard, "fhir": heard}


@pytest.mark.parametrize("dialect", ["postgresql"])  # SQLite has no connections to lose
def test_after_a_lost_connection_none_of_the_pool_is_used_again(opened: Database) -> None:
    with opened.read() as killer:
        with opened.read(), opened.read(), opened.read():
            pass
        opened.select(killer, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = ?",
                      [str(opened.engine.url.database)])  # fmt: skip
        with pytest.raises(OperationalError), opened.write(HOSPITAL) as transaction:
            opened.insert(transaction, SourceNoteRow, COLUMNS, [row("a")])
    with opened.write(HOSPITAL) as transaction, opened.read() as connection:
        opened.insert(transaction, SourceNoteRow, COLUMNS, [row("b")])
        assert opened.select(connection, "SELECT key FROM source_notes", []) == []
    assert notes(opened) == [("b", "")]


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["a"],
        ["a", "b c"],
        ['a"', "b"],
        ['"', '","'],
        ["a\\", "b"],
        ["\\", '"'],
        ["Ünï", "a"],
        ["a\n", "\x7f", "\0"],
        ["", ""],
        [1, -2],
        ["\U0001f600"],
    ],
)
def test_a_list_in_json_is_the_same_list(values: list[Any]) -> None:
    assert json.loads(in_json(values)) == values
