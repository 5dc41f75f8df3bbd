"""Sources of payload encryption keys, and erasure of expired data."""

from __future__ import annotations

import json
import stat
import threading
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from store.audit.hash_chain import Chain, ChainLine
from store.audit.verify import verify
from store.runs.encryption import new_key
from store.runs.runs import Journal, Rejected
from sync import logs, payload_key
from sync.config import ConfigError, inspect, load
from sync.config.problems import UsageError
from sync.housekeeping import Housekeeping, attestation, chores
from sync.logs import Logging
from sync.runtime import Runtime
from tests.factories import NOW, sealing, statements

TOP = "database: sqlite:///x.db\nenterprises: {e: {}}\n"


def written(folder: Path, more: str = "", top: str = TOP) -> Path:
    file = folder / "config.yaml"
    file.write_text(top + dedent(more))
    return file


def test_sqlite_gets_a_key_file_readable_only_by_its_owner(tmp_path: Path) -> None:
    settings = load(written(tmp_path))
    first = payload_key.sealing(settings)
    assert first is not None
    assert stat.S_IMODE((tmp_path / "x.db.key").stat().st_mode) == 0o600
    assert payload_key.sealing(settings) == first
    assert {one.name for one in tmp_path.iterdir()} == {"config.yaml", "x.db.key"}


def test_of_two_concurrent_key_files_the_first_is_kept(tmp_path: Path) -> None:
    settings, made, start = load(written(tmp_path)), [], threading.Barrier(8)

    def make() -> None:
        start.wait()
        made.append(payload_key.sealing(settings))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert all(one == made[0] for one in made)


def test_a_damaged_key_file_stops_the_program(tmp_path: Path) -> None:
    (tmp_path / "x.db.key").write_text("not a key")
    with pytest.raises(UsageError, match="restore it, or configure payload_keys"):
        payload_key.sealing(load(written(tmp_path)))


def test_postgresql_without_keys_stores_no_payload(tmp_path: Path) -> None:
    settings = load(written(tmp_path, top=TOP.replace("sqlite:///x.db", "postgresql+psycopg://me@nowhere/x")))
    assert payload_key.sealing(settings) is None


def test_configured_keys_override_the_key_file(tmp_path: Path) -> None:
    key = new_key()
    more = """\
        payload_keys:
          current: k2
          keys: {k1: "${FIRST}", k2: "${SECOND}"}
        keep_payloads: 7d
        """
    settings = load(written(tmp_path, more), {"FIRST": new_key(), "SECOND": key})
    found = payload_key.sealing(settings)
    assert found is not None
    assert (found.current, sorted(found.keys)) == ("k2", ["k1", "k2"])
    assert settings.keep_payloads == timedelta(days=7)
    assert not (tmp_path / "x.db.key").exists()


def test_an_unknown_current_key_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not in keys"):
        load(written(tmp_path, 'payload_keys: {current: k2, keys: {k1: "${K}"}}\n'), {"K": new_key()})


def test_an_invalid_key_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    (mistake,) = inspect(written(tmp_path, 'payload_keys: {current: k1, keys: {k1: "${K}"}}\n'), {"K": "hunter2"}).mistakes
    assert mistake.where == "payload_keys.keys.k1"
    assert "openssl" in mistake.message
    assert "hunter2" not in mistake.message


def test_a_plaintext_key_is_a_warning(tmp_path: Path) -> None:
    (warning,) = inspect(written(tmp_path, f"payload_keys: {{current: k1, keys: {{k1: {new_key()}}}}}\n"), {}).mistakes
    assert warning.warning
    assert "plain text" in warning.message


def test_sqlite_payloads_can_be_decrypted_after_a_restart(tmp_path: Path) -> None:
    runtime = Runtime.open(load(written(tmp_path)))
    with runtime.database.write("e") as transaction:
        row = Rejected("code_unmapped", "no such code", "ZCP-2", "a:1", b"kept")
        runtime.journal.reject(transaction, [row], source="adt", enterprise="e", run_id=None, now=NOW)
    number = runtime.journal.rejections()[0].id
    runtime.close()
    runtime = Runtime.open(load(written(tmp_path)))
    assert runtime.journal.rejection(number).payload == b"kept"
    runtime.close()


def test_retention_of_receipts_and_audit_log_is_configurable(tmp_path: Path) -> None:
    settings = load(written(tmp_path))
    assert (settings.keep_receipts, settings.keep_audit_log) == (timedelta(days=1461), None)
    settings = load(written(tmp_path, "keep_receipts: forever\nkeep_audit_log: 2192d\n"))
    assert (settings.keep_receipts, settings.keep_audit_log) == (None, timedelta(days=2192))
    assert [one.where for one in inspect(written(tmp_path, "keep_audit_log: sometimes\n")).mistakes] == ["keep_audit_log"]


@pytest.mark.parametrize(
    ("more", "removed"),
    [("", (0, 1)), ("keep_audit_log: 30d\nkeep_receipts: 29.5d\n", (1, 2)), ("keep_receipts: forever\n", (0, 0))],
)
def test_housekeeping_removes_expired_rows_by_whole_days(tmp_path: Path, more: str, removed: tuple[int, int]) -> None:
    runtime = Runtime.open(load(written(tmp_path, more)))
    for name in ("audit", "receipts"):
        days = (2000, 31, 1) if name == "receipts" else (31, 30, 1)
        Chain(runtime.database, name).add("e", [ChainLine(NOW - timedelta(days=day), "staff:sam", "did", "", "{}") for day in days])
    runtime.clock = lambda: NOW
    Housekeeping(chores(runtime)).once()
    verdicts = {one.head.chain: one for one in verify(runtime.database)}
    assert [one.broken_at for one in verdicts.values()] == [None, None]
    assert tuple(one.cut.upto if (one := verdicts[name]).cut else 0 for name in ("audit", "receipts")) == removed
    runtime.close()


def test_the_head_of_every_hash_chain_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Logging("info", "json"))
    runtime = Runtime.open(load(written(tmp_path, "")))
    for enterprise in ("e", "f"):
        Chain(runtime.database, "audit").add(enterprise, [ChainLine(NOW, "staff:sam", "did", "", "{}")])
    Housekeeping(chores(runtime)).once()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    heads = {(one["enterprise"], one["chain"], one["lines"], one["hash"]) for one in lines if one["event"] == "head of chain"}
    assert heads == {tuple(one.head) for one in verify(runtime.database)}
    assert len(heads) == 2
    runtime.close()


def test_history_is_attested_for_every_enterprise(tmp_path: Path) -> None:
    runtime = Runtime.open(load(written(tmp_path, top="database: sqlite:///x.db\nenterprises: {e: {}, f: {}}\n")))
    for enterprise in ("e", "f"):
        with runtime.database.write(enterprise) as transaction:
            runtime.preferences.apply_many(transaction, enterprise, "adt", [statements()], now=NOW)
        runtime.preferences.record_reply(enterprise, "55555", "+12175550101", "STOP", NOW, NOW)
    Housekeeping(attestation(runtime)).once()
    attested = {(one.head.enterprise, one.head.chain) for one in verify(runtime.database)}
    assert attested == {(name, chain) for name in ("e", "f") for chain in ("history", "sms_consent", "audit")}
    runtime.close()


def test_a_failing_housekeeping_task_is_logged_and_the_others_still_run(capsys: pytest.CaptureFixture[str]) -> None:
    done = []

    def fails() -> int:
        raise RuntimeError("MRN10001")

    logs.configure(Logging("info", "json"))
    Housekeeping({"payloads erased": fails, "lines of audit removed": lambda: done.append(1) or 7}).once()
    logged = [json.loads(one) for one in capsys.readouterr().err.splitlines()]
    assert [(one["event"], one.get("count")) for one in logged] == [("not done: payloads erased", None), ("lines of audit removed", 7)]
    assert done == [1]


def test_housekeeping_erases_at_startup_and_stops_immediately(sqlite_url: str) -> None:
    from store.db.database import Database

    database = Database.open(sqlite_url)
    journal = Journal(database, sealing())
    with database.write("e") as transaction:
        journal.reject(transaction, [Rejected("r", "d", "", "a", b"x")], source="s", enterprise="e", run_id=None, now=NOW)
    erased = threading.Event()

    def erase() -> int:
        done = journal.rejection_store.erase(NOW + timedelta(days=1))
        erased.set()
        return done

    role = Housekeeping({"payloads erased": erase})
    role.start()
    assert erased.wait(10)
    role.stop()
    with database.read() as connection:
        assert database.select(connection, "SELECT key_id FROM rejections", [])[0][0] is None
    database.close()
