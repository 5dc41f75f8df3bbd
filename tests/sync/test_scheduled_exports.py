"""Suppression lists on a schedule: to a folder and to a real SFTP server, with what happens when either fails."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paramiko
import pytest
import yaml

from store.audit.audit_log import Audit
from sync import service
from sync.config import load
from sync.config.loading import inspect
from sync.measuring import measured
from sync.runtime import Runtime
from sync.scheduled_exports import RETRY, ScheduledExports
from tests.adapters.hl7v2.sftp_server import PASSWORD, USER, Server, serving

HOST_KEY, OTHER_KEY = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
LINE, FIRST, SECOND = "+12175550190", "+12175550123", "+12175550124"
EVERY = timedelta(minutes=15)


@dataclass
class Exporting:
    """A store with one export. ``now`` is its time."""

    url: str
    folder: Path
    more: dict[str, Any]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        (self.folder / "lists").mkdir(exist_ok=True)
        export = {"enterprise": "clinic", "folder": "lists", "line": LINE, "delta": True, "schedule": {"every": "15m"}, **self.more}
        file = self.folder / "config.yaml"
        configuration = {"database": self.url, "enterprises": {"clinic": {"default_region": "US"}}, "exports": {"dialer": export}}
        file.write_text(yaml.safe_dump(configuration))
        self.runtime = Runtime.open(load(file, {}))
        self.runtime.clock = lambda: self.now
        self.exports = ScheduledExports(self.runtime)

    def reply(self, number: str, text: str = "STOP") -> None:
        self.now += timedelta(seconds=1)
        self.runtime.preferences.record_reply("clinic", LINE, number, text, None, self.now)

    def due(self) -> int:
        """An interval later; how many lists were delivered."""
        self.now += EVERY
        return self.exports.once()

    def metric(self, name: str) -> float | None:
        text = self.runtime.metrics.text(measured(self.runtime)).decode()
        return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)), None)


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Any]:
    opened: list[Exporting] = []

    def make(**more: Any) -> Exporting:
        opened.append(Exporting(database_url, tmp_path, more))
        return opened[-1]

    yield make
    for one in opened:
        one.runtime.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served" / "in").mkdir(parents=True)
    with serving(tmp_path / "served", HOST_KEY) as one:
        yield one


def to(server: Server, **more: Any) -> dict[str, Any]:
    known = {"host": "127.0.0.1", "port": server.port, "user": USER, "password": PASSWORD, "host_key": server.line, "path": "/in"}
    return {"sftp": known | more}


def loaded(folder: Path) -> set[str]:
    """The addresses of a sender who loads the lists that have a marker, in the order of their names."""
    found: set[str] = set()
    for marker in sorted(folder.glob("*.done")):
        about = json.loads(marker.read_text())
        rows = list(csv.DictReader((folder / marker.name.replace(".done", ".csv")).read_text().splitlines()))
        found = found if about["kind"] == "delta" else set()
        found |= {row["address"] for row in rows if row["change"] == "add"}
        found -= {row["address"] for row in rows if row["change"] == "remove"}
    return found


def test_a_list_is_written_at_once_and_then_at_each_interval(site: Any) -> None:
    one = site()
    one.reply(FIRST)
    assert one.exports.once() == 1
    assert loaded(one.folder / "lists") == {FIRST}
    one.reply(SECOND)
    assert one.exports.once() == 0, "not due"
    one.reply(FIRST, "START")
    assert one.due() == 1
    assert loaded(one.folder / "lists") == {SECOND}
    kinds = [json.loads(path.read_text())["kind"] for path in sorted((one.folder / "lists").glob("*.done"))]
    assert kinds == ["full", "delta"]
    assert one.metric('emr_sync_exports_total{export="dialer",outcome="delivered"}') == 2
    assert one.metric('emr_sync_export_failed{export="dialer"}') == 0


def test_a_serving_process_writes_the_list(site: Any) -> None:
    one = site()
    one.reply(FIRST)
    with service.serving(one.runtime.settings, roles=["work", "schedule"]):
        deadline = time.monotonic() + 60
        while not list((one.folder / "lists").glob("*.done")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert loaded(one.folder / "lists") == {FIRST}


def test_each_list_is_in_the_audit_log(site: Any) -> None:
    one = site()
    one.exports.once()
    (entry,) = [link.line for link in Audit(one.runtime.database).newest("clinic")]
    assert (entry.action, entry.actor) == ("exported_suppressions", "export:dialer")


def test_a_second_process_does_not_write_the_list_again(site: Any) -> None:
    one = site()
    assert (one.exports.once(), ScheduledExports(one.runtime).once()) == (1, 0)


def test_lists_arrive_on_an_sftp_server_as_wholes_and_leave_no_copy_here(site: Any, server: Server) -> None:
    one = site(**to(server))
    arrived = one.folder / "served" / "in"
    one.reply(FIRST)
    one.exports.once()
    one.reply(SECOND)
    one.reply(FIRST, "START")
    one.due()
    assert loaded(arrived) == {SECOND}
    names = {path.name for path in arrived.iterdir()}
    assert len(names) == 7
    assert not [name for name in names if "part" in name]
    assert not list((one.folder / "lists").glob("suppressions-*"))
    for marker in arrived.glob("*.done"):
        for name, digest in json.loads(marker.read_text())["sha256"].items():
            assert sha256(arrived / name) == digest


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_server_that_is_away_is_an_alarm_and_gets_everything_when_it_is_back(site: Any, server: Server) -> None:
    one = site(**to(server))
    arrived = one.folder / "served" / "in"
    one.reply(FIRST)
    one.exports.once()
    server.failing = True
    one.reply(SECOND)
    assert one.due() == 0
    assert one.metric('emr_sync_exports_total{export="dialer",outcome="failed"}') == 1
    assert one.metric('emr_sync_export_failed{export="dialer"}') == 1
    assert loaded(arrived) == {FIRST}
    one.reply(FIRST, "START")
    server.failing = False
    assert one.exports.once() == 0, "not yet"
    one.now += RETRY
    assert one.exports.once() == 1
    assert loaded(arrived) == {SECOND}
    assert one.metric('emr_sync_export_failed{export="dialer"}') == 0
    assert not list((one.folder / "lists").glob("suppressions-*"))


@pytest.mark.parametrize("after", range(1, 8))
def test_a_connection_that_breaks_at_any_file_loses_nothing(site: Any, server: Server, after: int) -> None:
    one = site(**to(server))
    arrived = one.folder / "served" / "in"
    one.reply(FIRST)
    one.exports.once()
    one.reply(SECOND)
    server.break_after = after
    one.due()
    assert one.metric('emr_sync_export_failed{export="dialer"}') == 1
    assert loaded(arrived) == {FIRST}, "the marker comes last"
    server.break_after = 0
    one.reply(FIRST, "START")
    one.due()
    assert loaded(arrived) == {SECOND}
    assert not [path for path in arrived.iterdir() if path.name.endswith(".part")]


def test_a_server_with_another_key_gets_nothing(site: Any, server: Server) -> None:
    one = site(**to(server, host_key=f"{OTHER_KEY.get_name()} {OTHER_KEY.get_base64()}"))
    one.reply(FIRST)
    assert one.exports.once() == 0
    assert one.metric('emr_sync_export_failed{export="dialer"}') == 1
    assert not list((one.folder / "served" / "in").iterdir())


def test_a_folder_that_is_missing_is_an_alarm(site: Any) -> None:
    one = site()
    (one.folder / "lists").rmdir()
    assert one.exports.once() == 0
    assert one.metric('emr_sync_export_failed{export="dialer"}') == 1


def test_a_machine_that_did_not_write_the_last_list_writes_a_whole_one(site: Any) -> None:
    one = site()
    one.reply(FIRST)
    one.exports.once()
    first = one.folder / "lists"
    first.rename(one.folder / "of the other machine")
    first.mkdir()
    one.due()
    for path in first.iterdir():
        path.unlink()
    for path in (one.folder / "of the other machine").iterdir():
        path.rename(first / path.name)
    one.due()
    kinds = [json.loads(path.read_text())["kind"] for path in sorted(first.glob("*.done"))]
    assert kinds == ["full", "full"], "a delta would be one to a list that the sender has replaced"


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"enterprise": "nobody"}, "exports.dialer.enterprise"),
        ({"channel": "fax"}, "exports.dialer.channel"),
        ({"channel": "voice"}, "exports.dialer.line"),
        ({"line": "CLINIC"}, "exports.dialer.line"),
        ({"schedule": {}}, "exports.dialer.schedule"),
        ({"schedule": {"cron": "x"}}, "exports.dialer.schedule.cron"),
        ({"sftp": {"host": "sftp.example", "user": "u", "host_key": "k", "password": "p"}}, "exports.dialer.sftp"),
        ({"sftp": {"host": "sftp.example", "user": "u", "host_key": "k"}}, "exports.dialer.sftp"),
        ({"every": "5m"}, "exports.dialer.every"),
    ],
)
def test_wrong_settings_are_reported_in_their_place(tmp_path: Path, changed: dict[str, Any], where: str) -> None:
    export = {"enterprise": "clinic", "folder": "lists", "line": LINE, "schedule": {"every": "15m"}, **changed}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"database": "sqlite:///x.db", "enterprises": {"clinic": {}}, "exports": {"dialer": export}}))
    found = inspect(file, {})
    assert where in [one.where for one in found.mistakes]
    assert found.settings is None
