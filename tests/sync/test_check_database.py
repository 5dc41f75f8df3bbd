"""``check-database`` reports problems of the database itself; for a newer schema, the program version that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from store.db import outage
from tests.parked import PARKED
from tests.sync.clinic import CONFIG, KEYS
from tests.sync.conftest import EmrSync


@pytest.fixture
def migrated(config: Path, emr_sync: EmrSync) -> Path:
    assert emr_sync("migrate").code == 0
    return config


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_healthy_database_passes_every_check(emr_sync: EmrSync, migrated: Path, dialect: str) -> None:
    ended = emr_sync("check-database", "--json")
    assert (ended.code, ended.value["ok"]) == (0, True)
    looked = [one["what"] for one in ended.value["findings"]]
    assert looked == (
        ["reachable", "integrity", "schema", "references", "rights", "writing"]
        if dialect == "sqlite"
        else ["reachable", "schema", "rights", "writing", "clock"]
    )
    assert "ok    reachable: " in emr_sync("check-database").out


def failed(emr_sync: EmrSync) -> dict[str, str]:
    """The failed checks: name -> problem."""
    ended = emr_sync("check-database", "--json")
    assert (ended.code, ended.value["ok"]) == (1, False)
    return {one["what"]: one["detail"] for one in ended.value["findings"] if not one["ok"]}


def test_a_damaged_file_and_a_file_readable_by_others_are_reported(
    emr_sync: EmrSync, migrated: Path, database_url: str, dialect: str
) -> None:
    if dialect != "sqlite":
        pytest.skip("PostgreSQL keeps its files itself")
    file = Path(database_url.removeprefix("sqlite:///"))
    file.chmod(0o644)
    assert "chmod 600" in failed(emr_sync)["rights"]
    with file.open("r+b") as stream:
        stream.seek(8 * 4096)
        stream.write(b"\xff" * 4096 * 8)
    assert failed(emr_sync)


def test_a_user_without_write_permission_is_reported(emr_sync: EmrSync, migrated: Path, database_url: str, dialect: str) -> None:
    if dialect != "postgresql":
        pytest.skip("SQLite's rights are its file's")
    name = create_engine(database_url).url.database
    execute(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    PARKED.close(name)  # the setting is for new connections
    assert failed(emr_sync) == {"writing": outage.READ_ONLY}


def test_a_missing_database_is_reported(emr_sync: EmrSync, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"database: postgresql+psycopg://nobody@127.0.0.1:1/emr\n{KEYS}{CONFIG}")
    ended = emr_sync("-c", tmp_path / "c.yaml", "check-database", "--json")
    assert ended.code == 2
    assert "cannot be reached" in ended.value["error"]


def test_a_newer_schema_is_reported_as_an_installation_error(emr_sync: EmrSync, migrated: Path, database_url: str) -> None:
    execute(database_url, "UPDATE alembic_version SET version_num = '9001'")
    for command in ("runs", "migrate", "serve"):
        ended = emr_sync(command, "--json")
        assert ended.code == 2
        assert "newer than this program: install the version that upgraded it or a later one" in ended.value["error"]
    assert "newer than this program" in failed(emr_sync)["schema"]
    execute(database_url, "INSERT INTO schema_programs VALUES ('9001', '7.1.0', '2031-01-01 00:00:00+00:00')")
    assert "install emr-sync 7.1.0 or a later one" in emr_sync("runs", "--json").value["error"]


def test_the_version_that_migrated_is_recorded(emr_sync: EmrSync, migrated: Path, database_url: str) -> None:
    from importlib.metadata import version

    from store.db import schema

    engine = create_engine(database_url)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT revision, program FROM schema_programs").all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [(schema.head(), version("emr-sync"))]
