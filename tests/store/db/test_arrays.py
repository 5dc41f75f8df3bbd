"""Lists as PostgreSQL reads them, sent there and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest

from store.db import sql

TEXTS = ["", "plain", "NULL", 'say "no"', "back\\slash", "{a,b}", " blank ", "line\nbreak", "tab\t", "Zoë 電話", "'; DROP", '\\"']
TIME = datetime(2026, 11, 1, 8, 30, 0, 123456, UTC)


@pytest.fixture(scope="module")
def server(postgres_server: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        yield connection


def back(server: psycopg.Connection, text: str, kind: str) -> object:
    row = server.execute(f"SELECT %s::{kind}[]", [text]).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


@pytest.mark.parametrize("values", [TEXTS, [None, *TEXTS, None], ["a", "b"], ["only"], [None], *([text] for text in TEXTS)])
def test_text_comes_back_as_it_went(server: psycopg.Connection, values: list[str | None]) -> None:
    assert back(server, sql.texts(values), "text") == values


def test_numbers_times_and_bytes_come_back_as_they_went(server: psycopg.Connection) -> None:
    elsewhere = TIME.astimezone(timezone(timedelta(hours=-5)))
    assert back(server, sql.numbers([0, -7, 2**62, None]), "bigint") == [0, -7, 2**62, None]
    assert back(server, sql.times([TIME, None, elsewhere, TIME]), "timestamptz") == [TIME, None, TIME, TIME]
    known: dict[datetime | None, str] = {}
    columns = [sql.times(column, known) for column in ([TIME, None], [None, elsewhere], [TIME + timedelta(1), TIME])]
    assert [back(server, column, "timestamptz") for column in columns] == [[TIME, None], [None, TIME], [TIME + timedelta(1), TIME]]
    assert back(server, sql.octets([b"", b'\\x00"{', bytes(range(256)), None]), "bytea") == [b"", b'\\x00"{', bytes(range(256)), None]


@pytest.mark.parametrize(("values", "kind"), [([], "text"), ([], "bigint"), (["x", 'y"'], "text"), ([1, 2], "bigint")])
def test_a_list_to_look_for_is_of_text_or_of_numbers(server: psycopg.Connection, values: list[object], kind: str) -> None:
    assert back(server, sql.listed(values), kind) == values


def test_what_no_text_can_hold_is_refused_by_the_driver(server: psycopg.Connection) -> None:
    with pytest.raises(psycopg.DataError):
        back(server, sql.texts(["a\0b"]), "text")
