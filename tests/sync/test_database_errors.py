"""Database errors are AR, never AE: each one through the store, as a listener's messages meet it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event

from store.db import outage
from store.db.database import Database
from store.errors import DocumentDamaged
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from sync.config import Backoff
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.factories import CLINIC, FEED, clinic, payload, sealing
from tests.fakes import FakeClock, FakeMapper

LANE = Lane(FEED, CLINIC)
PAGE = 4096


def engine_of(database: Database) -> Engine:
    return Engine(database, Preferences(database, {CLINIC: clinic()}), Journal(database, sealing()), FakeClock(), Metrics(), Backoff())


def check_left_to_sender(engine: Engine, explanation: str) -> None:
    """Checks that no rejection is stored: the sender has to resend the whole group."""
    with pytest.raises(Exception, match=r".") as caught:
        engine.ingest(LANE, FakeMapper(), [payload("A=yes"), payload("B=no")])
    assert outage.explanation(caught.value) == explanation


# PostgreSQL: the server answers an insert with an error of each SQLSTATE.

STATES = [
    ("08000", outage.GONE),
    ("08006", outage.GONE),
    ("25006", outage.READ_ONLY),
    ("53000", outage.SHORT),
    ("53100", outage.FULL),
    ("53200", outage.MEMORY),
    ("53300", outage.CROWDED),
    ("53400", outage.SHORT),
    ("55P03", outage.BUSY),
    ("57014", outage.LATE),
    ("57P01", outage.GONE),
    ("57P02", outage.GONE),
    ("57P03", outage.GONE),
    ("57P05", outage.GONE),
    ("58000", outage.DISK),
    ("58030", outage.DISK),
    ("58P01", outage.DISK),
    ("58P02", outage.DISK),
    ("XX000", outage.OWN_FAULT),
    ("XX001", outage.DAMAGED),
    ("XX002", outage.DAMAGED),
]
TRIGGER = """
CREATE TABLE state (code text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
 $$ BEGIN EXECUTE format('DO $x$ BEGIN RAISE EXCEPTION %L USING ERRCODE = %L; END $x$', 'x', (SELECT code FROM state)); END $$;
CREATE TRIGGER refused BEFORE INSERT ON patients FOR EACH STATEMENT EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_postgresql_errors_by_sqlstate(database_url: str) -> None:
    other = create_engine(database_url)
    with other.begin() as connection:
        connection.exec_driver_sql(TRIGGER.replace("%", "%%"))
    database = Database.open(database_url)
    engine = engine_of(database)
    for state, explanation in STATES:
        with other.begin() as connection:
            connection.exec_driver_sql("DELETE FROM state")
            connection.exec_driver_sql("INSERT INTO state VALUES (%s)", (state,))
        check_left_to_sender(engine, explanation)
    with other.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER refused ON patients")
    assert [one.outcome for one in engine.ingest(LANE, FakeMapper(), [payload("A=yes")])] == ["applied"]
    assert engine.journal.rejections() == []
    other.dispose()
    database.close()


# SQLite: the real fault.


@pytest.fixture
def file(sqlite_url: str) -> Path:
    """A database with patients in a single file (no WAL)."""
    database = Database.open(sqlite_url)
    engine = engine_of(database)
    engine.ingest(LANE, FakeMapper(), [payload(f"P{number}=yes") for number in range(60)])
    database.close()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    return path


def corrupt(path: Path) -> None:
    with path.open("r+b") as stream:
        for page in range(1, path.stat().st_size // PAGE):
            stream.seek(page * PAGE)
            stream.write(b"\xff" * 200)


def no_database(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(b"this is no database at all")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def nothing(path: Path) -> None:
    """Does nothing: the fault is injected on the connection."""


def pages(path: Path) -> int:
    return path.stat().st_size // PAGE


TROUBLES = [
    (corrupt, "", outage.NO_DATABASE),
    (no_database, "", outage.NO_DATABASE),
    (nothing, "PRAGMA query_only=ON", outage.READ_ONLY),
    (nothing, "PRAGMA max_page_count={pages}", outage.FULL),
]


@pytest.mark.parametrize(("harm", "pragma", "explanation"), TROUBLES, ids=["corrupt", "not a database", "read-only", "full"])
def test_sqlite_errors_by_code(file: Path, harm: Callable[[Path], None], pragma: str, explanation: str) -> None:
    harm(file)
    database = Database.open(f"sqlite:///{file}")
    if pragma:
        statement = pragma.format(pages=pages(file))
        event.listen(database.engine, "connect", lambda connection, _record: connection.execute(statement))
    many = [payload(f"N{number}=yes") for number in range(600)]
    with pytest.raises(Exception, match=r".") as caught:
        engine_of(database).ingest(LANE, FakeMapper(), many)
    assert outage.explanation(caught.value) == explanation
    database.close()


def test_sqlite_locked_by_another_program(file: Path) -> None:
    database = Database.open(f"sqlite:///{file}")
    event.listen(database.engine, "connect", lambda connection, _record: connection.execute("PRAGMA busy_timeout=50"))
    engine = engine_of(database)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        check_left_to_sender(engine, outage.BUSY)
        other.execute("ROLLBACK")
    assert [one.outcome for one in engine.ingest(LANE, FakeMapper(), [payload("A=yes")])] == ["applied"]
    database.close()


def test_sqlite_in_a_missing_folder(file: Path) -> None:
    database = Database.open(f"sqlite:///{file}")
    engine = engine_of(database)
    os.rename(file.parent, file.parent.with_name("elsewhere"))
    check_left_to_sender(engine, outage.NO_FILE)
    database.close()


def test_unreadable_stored_data_is_not_the_messages_fault(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        changed = connection.execute("UPDATE assertions SET assertions = substr(assertions, 1, 20)").rowcount
    assert changed == 60
    database = Database.open(f"sqlite:///{file}")
    with pytest.raises(DocumentDamaged) as caught:
        engine_of(database).ingest(LANE, FakeMapper(), [payload("P1=no")])
    assert outage.explanation(caught.value) == outage.DAMAGED
    database.close()
