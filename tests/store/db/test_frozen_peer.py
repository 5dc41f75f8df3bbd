"""A peer that froze, or a machine that is gone, inside a transaction: what it holds is given up in time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from store.db import outage
from store.db.database import Database, driver_connection
from store.db.limits import DatabaseLimits
from store.db.tables import SourceNoteRow

HOSPITAL = "general-hospital"
COLUMNS = ("source", "key", "enterprise", "text")
SHORT = DatabaseLimits(lock=3, idle=1)
HASTY = DatabaseLimits(lock=0.5, idle=60)
Opened = Callable[[DatabaseLimits], Database]


@pytest.fixture
def opened(database_url: str) -> Iterator[Opened]:
    """Opens the database as one process with its own limits does."""
    found: list[Database] = []

    def one(limits: DatabaseLimits) -> Database:
        found.append(Database.open(database_url, limits))
        return found[-1]

    yield one
    for database in found:
        database.close()


def note(database: Database, key: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    with database.write(HOSPITAL) as transaction:
        meanwhile()
        database.insert(transaction, SourceNoteRow, COLUMNS, [("adt", key, HOSPITAL, "")])


def keys(database: Database) -> list[Any]:
    with database.read() as connection:
        return database.select(connection, "SELECT key FROM source_notes ORDER BY key", [])


@contextmanager
def frozen(database: Database, do: Callable[[Any], None] = lambda driver: None) -> Iterator[None]:
    """Another process that is the enterprise's writer and says no more; what becomes of it is not our matter."""
    begun, ended = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with database.write(HOSPITAL) as transaction:
                do(driver_connection(transaction))
                begun.set()
                ended.wait()
        except Exception:
            begun.set()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    yield
    ended.set()
    thread.join()


def test_whoever_waits_for_a_peer_that_froze_gets_its_turn(opened: Opened, dialect: str) -> None:
    if dialect == "sqlite":
        pytest.skip("SQLite ends no peer: the system releases the lock of a program that ended")
    ours = opened(SHORT)
    with frozen(opened(SHORT)):
        note(ours, "after")
    assert keys(ours) == [("after",)]


def test_a_program_that_stood_still_is_told_so_when_it_goes_on(opened: Opened, dialect: str) -> None:
    """A paused machine is an outage, and no fault of the data it was writing."""
    if dialect == "sqlite":
        pytest.skip("SQLite ends nobody")
    ours, other = opened(replace(SHORT, idle=0.3)), opened(SHORT)
    with pytest.raises(DBAPIError) as raised:
        note(ours, "lost", meanwhile=lambda: note(other, "after"))  # which waits until ours was ended
    assert outage.explanation(raised.value) in (outage.PAUSED, outage.GONE)
    note(ours, "then")
    assert keys(ours) == [("after",), ("then",)]


def copying(driver: Any) -> None:
    """Begins a COPY that goes on in no time: PostgreSQL waits for the rest without a limit."""
    driver.pgconn.exec_(b"COPY source_notes (source, key, enterprise, text) FROM STDIN")


def test_a_peer_that_froze_in_the_middle_of_a_copy_is_ended_by_who_waits(opened: Opened, dialect: str) -> None:
    if dialect == "sqlite":
        pytest.skip("SQLite has no COPY")
    ours = opened(HASTY)
    with frozen(opened(HASTY), copying):
        with pytest.raises((DBAPIError, outage.Unavailable)) as raised:
            note(ours, "refused")
        assert outage.explanation(raised.value) == outage.BUSY
        note(ours, "after")
    assert keys(ours) == [("after",)]


def test_a_peer_that_froze_after_others_began_to_wait_is_ended_by_the_first_of_them(opened: Opened, dialect: str) -> None:
    if dialect == "sqlite":
        pytest.skip("SQLite has no COPY")
    ours, errors = opened(SHORT), list[str]()

    def wait() -> None:
        with pytest.raises((DBAPIError, outage.Unavailable)) as raised:
            note(ours, "refused")
        errors.append(outage.explanation(raised.value))

    waiter = threading.Thread(target=wait)

    def copy_once_it_waits(driver: Any) -> None:
        waiter.start()
        while waiter.is_alive() and not _has_waited(ours):
            pass
        copying(driver)

    with frozen(opened(replace(SHORT, idle=60)), copy_once_it_waits):
        waiter.join()
        assert errors == [outage.BUSY]
        note(ours, "after")
    assert keys(ours) == [("after",)]


def _has_waited(database: Database) -> int:
    """Whether somebody has waited for the lock of an enterprise for a third of the limit."""
    waits = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
               AND waitstart < clock_timestamp() - interval '1 second'
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    with database.read() as connection:
        return int(database.select(connection, waits, [])[0][0])


def test_who_waits_for_the_lock_of_another_program_is_told_that_the_database_is_busy(opened: Opened, database_url: str) -> None:
    ours = opened(HASTY)
    with foreign_lock(ours, database_url):
        with pytest.raises((DBAPIError, outage.Unavailable)) as raised:
            note(ours, "refused")
        assert outage.explanation(raised.value) == outage.BUSY
    note(ours, "after")
    assert keys(ours) == [("after",)]


@contextmanager
def foreign_lock(database: Database, url: str) -> Iterator[None]:
    """Held by a program that knows none of our limits, and that is not silent: it is not ours to end."""
    if database.is_sqlite:
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.close()
        return
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("LOCK TABLE source_notes")
        yield


def test_threads_of_one_process_wait_for_each_other_no_longer_than_for_other_programs(opened: Opened) -> None:
    ours = opened(HASTY)
    with frozen(ours):
        with pytest.raises((DBAPIError, outage.Unavailable)) as raised:
            note(ours, "refused")
        assert outage.explanation(raised.value) == outage.BUSY


def test_a_change_of_the_schema_waits_for_as_long_as_it_takes(opened: Opened) -> None:
    ours, holding, done = opened(HASTY), threading.Event(), threading.Event()
    another = opened(HASTY)  # as another program does

    def migrate() -> None:
        with another.write(HOSPITAL, unbounded=True):
            done.set()

    with ours.write(HOSPITAL):
        thread = threading.Thread(target=migrate)
        thread.start()
        holding.wait(HASTY.lock * 3)
        assert not done.is_set()
    thread.join()
    assert done.is_set()
    with frozen(ours), pytest.raises((DBAPIError, outage.Unavailable)):
        note(another, "hasty again")


def test_the_limits_reach_every_connection(database_url: str, dialect: str) -> None:
    if dialect == "sqlite":
        pytest.skip("these are PostgreSQL's")
    for given, lock in (("", "10s"), ("options=-c%20lock_timeout%3D7s", "7s")):
        database = Database.open(f"{database_url}{'&' if '?' in database_url else '?'}{given}")
        ask = partial(_setting, database)
        assert (ask("lock_timeout"), ask("idle_in_transaction_session_timeout"), ask("statement_timeout")) == (lock, "8s", "5min")
        assert database.driver_arguments()["tcp_user_timeout"] == 10_000
        database.close()


def test_what_the_address_says_counts_more() -> None:
    arguments = DatabaseLimits().in_postgresql({"connect_timeout": "30", "keepalives_idle": "60"})
    assert arguments.keys().isdisjoint({"connect_timeout", "keepalives_idle"})
    assert (arguments["keepalives_interval"], arguments["keepalives_count"]) == (1, 5)


def test_a_peer_is_ended_before_whoever_waits_for_it_gives_up() -> None:
    limits = DatabaseLimits()
    assert limits.idle < limits.lock <= 10


def _setting(database: Database, name: str) -> Any:
    with database.read() as connection:
        return database.select(connection, "SELECT current_setting(?)", [name])[0][0]
