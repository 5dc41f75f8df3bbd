"""PostgreSQL keeps text in the encoding of the database. Names need UTF-8, but a server without a locale creates others."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.functional.program import free_port, hospital, written
from tests.postgres import Databases
from tests.sync.conftest import EmrSync
from tests.sync.test_backup import BIN

CREATE = "CREATE DATABASE {} ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
Created = Callable[[str], str]


@pytest.fixture
def created(postgres_bare: Databases) -> Iterator[Created]:
    """Gives the address of a new, empty database of an encoding."""
    with ExitStack() as stack:
        yield lambda encoding: stack.enter_context(_created(postgres_bare, encoding))


@contextmanager
def _created(databases: Databases, encoding: str) -> Iterator[str]:
    name = f"emr_encoded_{uuid.uuid4().hex[:12]}"
    with closing(psycopg.connect(databases.server, autocommit=True)) as server:
        server.execute(sql.SQL(CREATE).format(sql.Identifier(name), sql.Literal(encoding)))
        try:
            yield databases.url(name)
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("command", ["migrate", "check-database", "runs", "serve"])
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_in_another_encoding_is_refused_with_the_way_to_create_one(
    created: Created, encoding: str, command: str, emr_sync: EmrSync, tmp_path: Path
) -> None:
    config = written(tmp_path, hospital(created(encoding), free_port()))
    ended = emr_sync("-c", config, command)
    assert (ended.code, ended.err) == (
        2,
        f"emr-sync: {config}: the database's encoding is {encoding}, which cannot store all names: "
        "create it with createdb --encoding=UTF8 --template=template0\n",
    )


def test_a_database_in_utf_8_is_used_whatever_the_client_was_told(
    created: Created, emr_sync: EmrSync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    config = written(tmp_path, hospital(created("UTF8"), free_port()))
    assert emr_sync("-c", config, "migrate").code == 0
    message = tmp_path / "message.hl7"
    message.write_text(
        "MSH|^~\\&|ADT|GENHOSP|X|X|20261101||ADT^A08^ADT_A01|C1|P|2.5.1|||||||UNICODE UTF-8\rPID|1||MRN1^^^GENHOSP^MR||Łukasz^Jo\r", "utf-8"
    )
    assert emr_sync("-c", config, "ingest", "genhosp-adt", message, "--json").code == 0
    found = emr_sync("-c", config, "find", "łukasz", "--json")
    assert "Łukasz" in found.out


def test_a_backup_is_verified_on_a_server_that_creates_databases_in_another_encoding(
    created: Created, emr_sync: EmrSync, tmp_path: Path
) -> None:
    config = written(tmp_path, hospital(created("UTF8"), free_port()))
    assert emr_sync("-c", config, "migrate").code == 0
    assert emr_sync("-c", config, "backup", tmp_path / "copy", *BIN).code == 0
    ended = emr_sync("-c", config, "verify-backup", tmp_path / "copy", *BIN, "--scratch", created("SQL_ASCII"))
    assert (ended.code, ended.err) == (0, "")
