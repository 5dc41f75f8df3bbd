"""An unusable database on the command line: one line that says what to do."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from tests.parked import PARKED
from tests.sync.clinic import CONFIG, KEYS, adt
from tests.sync.conftest import EmrSync, Ended


@pytest.fixture
def clinic(tmp_path: Path, database_url: str, emr_sync: EmrSync, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, a migrated database and a message."""
    (tmp_path / "config.yaml").write_text(f"database: {database_url}\n{KEYS}{CONFIG}")
    (tmp_path / "a08.hl7").write_text(adt())
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(tmp_path / "config.yaml"))
    assert emr_sync("migrate").code == 0
    return tmp_path


@pytest.fixture
def on_connect() -> Iterator[Callable[[str], None]]:
    """Runs this statement first on every new SQLite connection."""
    added: list[Callable[..., None]] = []

    def begin_with(pragma: str) -> None:
        def prepare(connection: Any, _record: Any) -> None:
            connection.execute(pragma)

        event.listen(Engine, "connect", prepare)
        added.append(prepare)

    yield begin_with
    for one in added:
        event.remove(Engine, "connect", one)


def pages(file: str) -> int:
    with closing(sqlite3.connect(file)) as connection:
        (found,) = connection.execute("PRAGMA page_count").fetchone()
    return int(found)


def one_line(ended: Ended, *words: str, code: int = 1) -> None:
    lines = ended.err.strip().splitlines()
    assert ended.code == code
    assert len(lines[-1:]) == 1
    assert all(word in lines[-1] for word in words), ended.err
    assert "Traceback" not in ended.err
    assert "OperationalError" not in ended.err


def test_a_full_disk_is_reported_in_one_line(emr_sync: EmrSync, clinic: Path, database_url: str, on_connect: Callable[[str], None]) -> None:
    if database_url.startswith("sqlite"):
        on_connect(f"PRAGMA max_page_count={pages(database_url.removeprefix('sqlite:///'))}")
        (clinic / "many.hl7").write_text("".join(adt(f"MRN{number}", control=f"C{number}") for number in range(400)))
    else:
        raising(database_url, "53100", "patients")
        (clinic / "many.hl7").write_text(adt())
    one_line(emr_sync("ingest", "adt", clinic / "many.hl7"), "disk", "full", "free up space")


def test_a_read_only_database_is_reported_in_one_line(
    emr_sync: EmrSync, clinic: Path, database_url: str, on_connect: Callable[[str], None]
) -> None:
    if database_url.startswith("sqlite"):
        on_connect("PRAGMA query_only=ON")
    else:
        engine = create_engine(database_url)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET default_transaction_read_only = on")
        engine.dispose()
        PARKED.close(engine.url.database)  # the setting is for new connections
    one_line(emr_sync("ingest", "adt", clinic / "a08.hl7"), "read-only", "write permission")
    assert "read-only" in emr_sync("ingest", "adt", clinic / "a08.hl7", "--json").value["error"]


def test_a_missing_table_privilege_is_reported_in_one_line(emr_sync: EmrSync, clinic: Path, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite knows no rights to tables")
    raising(database_url, "42501", "patients")
    one_line(emr_sync("ingest", "adt", clinic / "a08.hl7"), "denied access", "check the permissions")
    assert emr_sync("rejections", "--json").value == []


def test_an_unreachable_server_is_reported_in_one_line(emr_sync: EmrSync, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"database: postgresql+psycopg://nobody@127.0.0.1:1/emr\n{CONFIG}")
    one_line(emr_sync("-c", tmp_path / "config.yaml", "runs"), "cannot be reached", "host, port, user and password", code=2)


def test_a_missing_folder_and_an_invalid_database_file_are_reported_in_one_line(emr_sync: EmrSync, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"database: sqlite:///nowhere/emr.db\n{CONFIG}{KEYS}")
    one_line(emr_sync("-c", tmp_path / "config.yaml", "migrate"), "folder exists", code=2)
    (tmp_path / "config.yaml").write_text(f"database: sqlite:///config.yaml\n{CONFIG}{KEYS}")
    one_line(emr_sync("-c", tmp_path / "config.yaml", "migrate"), "is not an SQLite database", code=2)


def raising(url: str, state: str, table: str) -> None:
    """Makes the server answer every insert into a table with this SQLSTATE."""
    engine = create_engine(url)
    with engine.begin() as connection:
        body = f"BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END"
        connection.exec_driver_sql(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        connection.exec_driver_sql(f"CREATE TRIGGER refused BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse()")
    engine.dispose()


def test_two_programs_on_one_file_wait_for_each_other(emr_sync: EmrSync, clinic: Path, database_url: str) -> None:
    """The service writes while a command runs: neither gets a "database is locked" error."""
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL has a server for that")
    code = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    code += "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(2); c.execute('COMMIT')"
    command = [sys.executable, "-c", code, database_url.removeprefix("sqlite:///")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        ended = emr_sync("ingest", "adt", clinic / "a08.hl7", "--json")
        assert other.wait(10) == 0
    assert (ended.code, ended.value["counts"]["applied"]) == (0, 1)
