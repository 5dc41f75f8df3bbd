"""What is told of a database that does not answer. The codes are real where the database can be brought to say them."""

from __future__ import annotations

import errno
import socket
import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from store.db import outage
from store.db.database import Database

PRIVATE = "emr-db.internal"


def sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(PRIVATE)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (sqlite3.SQLITE_FULL, outage.FULL),
        (sqlite3.SQLITE_READONLY, outage.READ_ONLY),
        (sqlite3.SQLITE_READONLY_DBMOVED, outage.READ_ONLY),
        (sqlite3.SQLITE_BUSY, outage.BUSY),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, outage.BUSY),
        (sqlite3.SQLITE_LOCKED, outage.BUSY),
        (sqlite3.SQLITE_CANTOPEN, outage.NO_FILE),
        (sqlite3.SQLITE_PERM, outage.DENIED),
        (sqlite3.SQLITE_IOERR_WRITE, outage.DISK),
        (sqlite3.SQLITE_NOTADB, outage.NO_DATABASE),
        (sqlite3.SQLITE_CORRUPT, outage.NO_DATABASE),
        (sqlite3.SQLITE_CORRUPT_INDEX, outage.NO_DATABASE),
        (sqlite3.SQLITE_INTERRUPT, outage.ENDED),
        (sqlite3.SQLITE_PROTOCOL, outage.BUSY),
        (sqlite3.SQLITE_CONSTRAINT, ""),
        (sqlite3.SQLITE_TOOBIG, ""),
    ],
)
def test_sqlite_tells_by_its_code(code: int, told: str) -> None:
    assert outage.explanation(sqlite(code)) == told
    assert outage.explanation(OperationalError("INSERT", {}, sqlite(code))) == told


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("53100", outage.FULL),
        ("25006", outage.READ_ONLY),
        ("42501", outage.DENIED),
        ("57P01", outage.GONE),
        ("57P03", outage.GONE),
        ("08006", outage.GONE),
        ("53300", outage.CROWDED),
        ("55P03", outage.BUSY),
        ("25P03", outage.PAUSED),
        ("57014", outage.LATE),
        ("08P01", outage.GONE),
        ("53000", outage.SHORT),
        ("53200", outage.MEMORY),
        ("57P05", outage.GONE),
        ("58000", outage.DISK),
        ("58P01", outage.DISK),
        ("58030", outage.DISK),
        ("XX000", outage.OWN_FAULT),
        ("XX001", outage.DAMAGED),
        ("XX002", outage.DAMAGED),
        ("42P01", outage.NO_SCHEMA),
        ("22003", ""),
        ("54000", ""),
        ("23505", ""),
        ("22021", ""),
    ],
)
def test_postgresql_tells_by_its_state(state: str, told: str, postgres_server: str) -> None:
    with pytest.raises(psycopg.Error) as caught, psycopg.connect(postgres_server) as connection:
        connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")
    assert outage.explanation(caught.value) == told


def test_a_server_that_is_not_there() -> None:
    database = Database.open("postgresql+psycopg://nobody@127.0.0.1:1/emr")
    with pytest.raises(OperationalError) as caught, database.read():
        pass
    assert outage.explanation(caught.value) == outage.GONE


def test_a_connection_that_was_cut() -> None:
    assert outage.explanation(psycopg.OperationalError(PRIVATE)) == outage.GONE
    assert outage.explanation(psycopg.DataError(PRIVATE)) == ""


@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EPIPE, "")])
def test_a_disk_that_is_full_for_other_files(number: int, told: str) -> None:
    sentence = outage.explanation(OSError(number, PRIVATE))
    assert sentence.startswith(told) or told in sentence
    assert bool(sentence) == bool(told)


def test_what_is_told_repeats_nothing_of_the_error() -> None:
    sentences = {*outage.SQLITE.values(), *outage.POSTGRESQL.values(), *outage.CLASSES.values(), *outage.FILES.values()}
    assert all(PRIVATE not in one and "\n" not in one and ": " in one for one in sentences)


def test_a_server_that_takes_the_connection_and_says_nothing_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"host=127.0.0.1 port={silent.getsockname()[1]} user=emr connect_timeout=2"
        with pytest.raises(psycopg.OperationalError) as failed:
            psycopg.connect(address)
    assert outage.explanation(failed.value) == outage.GONE
    assert outage.explanation(OperationalError("SELECT", {}, failed.value)) == outage.GONE
