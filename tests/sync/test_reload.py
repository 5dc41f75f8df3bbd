"""A running service reads its configuration again: checked first, all or nothing, without closing connections that can stay."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.reader import read
from adapters.rehearsal.emr import RehearsalEmr
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.runs.processes import Processes, gone
from store.runs.runs import Run, RunKind, RunStatus
from sync import reload
from sync.config import Settings, load
from sync.queue import Job
from sync.run import Progress
from sync.service import Service, serving
from tests.adapters.hl7v2.certificates import Authority
from tests.adapters.hl7v2.messages import adt
from tests.functional.program import free_port, hospital, written
from tests.functional.test_safeguard_configuration import FIRST, fill

HOSPITAL, ADT = "general-hospital", "genhosp-adt"
AT_ANY_TIME = {
    *("file", "enterprises", "feeds", "tls", "plain", "backoff", "batch_size", "batch_bytes", "room", "safeguards", "sealing"),
    *("keep_payloads", "keep_receipts", "keep_audit_log", "alerts", "exports", "warnings"),
}
"""Fields of the settings that a reload changes."""


class Site:
    """A configuration file, the service that runs with it, and how a person edits one and reloads the other."""

    def __init__(self, folder: Path, database: str, **changes: Any) -> None:
        self.folder, self.content = folder, hospital(database, free_port(), **changes)
        self.content["api"] = {"listen": "127.0.0.1:0"}
        self.service: Service

    @property
    def adt(self) -> dict[str, Any]:
        found: dict[str, Any] = self.content["sources"][ADT]
        return found

    @contextmanager
    def served(self, *roles: str) -> Iterator[Service]:
        with serving(load(written(self.folder, self.content), {}), roles) as self.service:
            for role in self.service.listeners:
                listener: Any = role.listener
                assert listener.bound.wait(30)
            yield self.service

    def reload(self) -> str:
        """Writes the file and reloads; why the former configuration is still in use."""
        written(self.folder, self.content)
        return self.reload_only()

    def reload_only(self) -> str:
        service = self.service
        return reload.Reloading(service.reloads, lambda: service.runtime.settings, service.reload, lambda why: None).once()

    def connected(self, source: str = ADT, **more: Any) -> MllpClient:
        (role,) = [one for one in self.service.listeners if one.feed.name == source]
        listener: Any = role.listener
        assert listener.bound.wait(30)
        return MllpClient(*listener.address, **more)

    def dnc(self, mrn: str = "MRN10001") -> str:
        return self.service.runtime.preferences.find(HOSPITAL, PatientRef(authority="GENHOSP", value=mrn)).contact.do_not_contact


def message(control: str, word: str, mrn: str = "MRN10001", minute: int = 30) -> bytes:
    msh = f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|202611010{800 + minute}00||ADT^A08|{control}|P|2.5.1"
    return adt("A08", f"ZCP|1|{word}", header=msh).replace(b"MRN10001", mrn.encode())


def code(reply: bytes) -> str:
    return read(reply).field("MSA", 1)


def test_every_setting_is_either_reloaded_or_needs_a_restart() -> None:
    assert {one.name for one in fields(Settings)} == AT_ANY_TIME | set(reload.AT_START)
    assert not AT_ANY_TIME & set(reload.AT_START)


def test_a_changed_mapping_and_a_new_source_count_while_connections_stay_open(tmp_path: Path, database_url: str) -> None:
    site = Site(tmp_path, database_url)
    with site.served("listen") as service, site.connected() as connection:
        assert code(connection.send(message("C1", "STOP"))) == "AA"
        assert site.dnc() == "unknown"
        site.adt["mapping"]["do_not_contact"]["values"]["STOP"] = "yes"
        site.content["sources"]["second"] = site.adt | {"listen": f"127.0.0.1:{free_port()}"}
        assert site.reload() == ""
        assert code(connection.send(message("C2", "STOP", minute=31))) == "AA"
        assert site.dnc() == "yes"
        with site.connected("second") as second:
            assert code(second.send(message("C3", "DNC", "MRN2"))) == "AA"
        assert site.dnc("MRN2") == "yes"
        del site.content["sources"]["second"]
        assert site.reload() == ""
        assert code(connection.send(message("C4", "OK", minute=32))) == "AA"
        assert [one.feed.name for one in service.listeners] == [ADT]


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("mapping", {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "perhaps"}}}, "perhaps"),
        ("adapter", "hl7v3", "unknown adapter"),
        ("enterprise", "elsewhere", "unknown enterprise"),
        ("listen", "192.0.2.1:2575", "unencrypted"),
    ],
)
def test_an_invalid_file_changes_nothing_and_gives_the_reason_in_one_line(
    tmp_path: Path, sqlite_url: str, setting: str, value: Any, reason: str
) -> None:
    site = Site(tmp_path, sqlite_url)
    with site.served("listen") as service, site.connected() as connection, capture_logs() as logged:
        before = service.runtime.settings
        site.adt[setting] = value
        site.content["sources"]["second"] = {**site.adt, "listen": f"127.0.0.1:{free_port()}"}
        why = site.reload()
        assert reason in why
        assert "\n" not in why
        assert [one["reason"] for one in logged if one["log_level"] == "error"] == [why]
        assert service.runtime.settings is before
        assert [one.feed.name for one in service.listeners] == [ADT]
        assert code(connection.send(message("C1", "DNC"))) == "AA"
        (tmp_path / "config.yaml").write_text("database: [")
        assert "config.yaml: line 1" in site.reload_only()
        (tmp_path / "config.yaml").unlink()
        assert "cannot read the file" in site.reload_only()
        assert code(connection.send(message("C2", "OK", minute=31))) == "AA"


def test_a_half_written_file_changes_nothing_although_its_first_half_is_valid(tmp_path: Path, sqlite_url: str) -> None:
    site = Site(tmp_path, sqlite_url)
    with site.served("listen") as service, site.connected() as connection:
        file, before = Path(service.runtime.settings.file), service.runtime.settings
        whole = file.read_text()
        file.write_text(whole[: whole.index("    mapping:")].rstrip("\n"))
        assert load(file, {}).feeds[ADT].settings != before.feeds[ADT].settings
        assert "may be half written" in site.reload_only()
        assert service.runtime.settings is before
        assert code(connection.send(message("C1", "DNC"))) == "AA"
        assert site.dnc() == "yes"
        file.write_text(whole)
        assert site.reload_only() == ""


def test_what_only_a_start_can_change_is_named_and_nothing_else_is_changed(tmp_path: Path, sqlite_url: str) -> None:
    site = Site(tmp_path, sqlite_url)
    with site.served("listen") as service:
        before = service.runtime.settings
        site.content |= {"database": f"sqlite:///{tmp_path / 'other.db'}", "work": {"parallel": "2"}, "batch_size": "10"}
        site.content["api"]["listen"] = f"127.0.0.1:{free_port()}"
        assert site.reload().endswith("restart the service to change database, api.listen, work.parallel")
        assert service.runtime.settings is before


def test_a_new_listener_whose_port_is_in_use_changes_nothing(tmp_path: Path, sqlite_url: str) -> None:
    site = Site(tmp_path, sqlite_url)
    with site.served("listen") as service, socket.create_server(("127.0.0.1", 0)) as other:
        site.content["sources"]["second"] = {**site.adt, "listen": f"127.0.0.1:{other.getsockname()[1]}"}
        site.content["batch_size"] = "10"
        assert "sources.second.listen: 127.0.0.1:" in site.reload()
        assert (service.runtime.settings.batch_size, service.failure) == (1000, None)
        assert list(service.runtime.settings.feeds) == [ADT]


def test_while_the_database_is_away_nothing_is_reloaded(tmp_path: Path, sqlite_url: str) -> None:
    site = Site(tmp_path, sqlite_url)
    with site.served("listen") as service:
        before, file = service.runtime.settings, Path(sqlite_url.removeprefix("sqlite:///"))
        site.content["batch_size"] = "10"
        file.rename(tmp_path / "away")
        assert "the database file was deleted, moved or replaced" in site.reload()
        assert service.runtime.settings is before
        (tmp_path / "away").rename(file)
        assert site.reload() == ""
        assert service.runtime.engine.batch_size == 10


def test_acknowledgement_codes_are_reloaded_and_other_limits_replace_the_listener(tmp_path: Path, sqlite_url: str) -> None:
    site = Site(tmp_path, sqlite_url, ack={"partial": "AA"})
    with site.served("listen"), site.connected() as connection:
        site.adt["ack"] = {"partial": "AE"}
        assert site.reload() == ""
        assert code(connection.send(message("C1", "WHAT"))) == "AE"
        site.adt["max_connections"] = "5"
        assert site.reload() == ""
        with pytest.raises(ConnectionError):
            connection.send(message("C2", "DNC"))
        with site.connected() as again:
            assert code(again.send(message("C3", "DNC", minute=31))) == "AA"
        assert site.dnc() == "yes"


def test_a_renewed_certificate_counts_for_new_connections(tmp_path: Path, sqlite_url: str) -> None:
    first, second = Authority("first"), Authority("second")
    _store(tmp_path, first)
    files = {"certificate": f"file:{tmp_path / 'cert.pem'}", "key": f"file:{tmp_path / 'key.pem'}"}
    site = Site(tmp_path, sqlite_url, tls=files)
    site.content["api"]["tls"] = files
    with site.served("listen", "api") as service, site.connected(tls=_trusting(first)) as connection:
        assert _status(service, first) == 200
        _store(tmp_path, second)
        assert site.reload() == ""
        assert code(connection.send(message("C1", "DNC"))) == "AA"
        with site.connected(tls=_trusting(second)) as other:
            assert code(other.send(message("C2", "OK", minute=31))) == "AA"
        with pytest.raises(ssl.SSLError):
            site.connected(tls=_trusting(first))
        assert _status(service, second) == 200
        (tmp_path / "cert.pem").write_text("no certificate")
        assert "tls" in site.reload()
        assert _status(service, second) == 200


def _store(folder: Path, authority: Authority) -> None:
    for name, text in zip(("cert.pem", "key.pem"), authority.issue("emr"), strict=True):
        (folder / name).write_text(text)


def _trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem)


def _status(service: Service, authority: Authority) -> int:
    assert service.address is not None
    connection = HTTPSConnection(*service.address, context=_trusting(authority), timeout=30)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_source_that_was_removed_is_not_reported_as_gone(tmp_path: Path, database_url: str) -> None:
    site = Site(tmp_path, database_url)
    site.content["sources"]["second"] = {**site.adt, "listen": f"127.0.0.1:{free_port()}"}
    with site.served("listen") as service:
        processes = Processes(service.runtime.database)
        service.presence.reloaded(service._places())
        assert {one.place.source for one in processes.read()} == {ADT, "second"}
        service.runtime.intake_health.failed("second", HOSPITAL, 1, "the database is locked")
        del site.content["sources"]["second"]
        assert site.reload() == ""
        service.presence.reloaded(service._places(), "why not")
        (left,) = processes.read()
        assert (left.place.source, left.reload and left.reload.why_not) == (ADT, "why not")
        assert not service.runtime.intake_health.failing()
        assert not gone([left], processes.now())


@pytest.mark.timeout(600)
def test_a_change_that_would_permit_too_much_contact_is_held_by_the_safeguard(tmp_path: Path, sqlite_url: str) -> None:
    fill(sqlite_url, {FIRST: {"do_not_contact": "yes"}})
    site = Site(tmp_path, sqlite_url)
    with site.served("api") as service, capture_logs() as logged:
        site.content["enterprises"][HOSPITAL]["sync_contact_preferences"] = "false"
        site.content["enterprises"][HOSPITAL]["display_name"] = "Another name"
        assert site.reload() == ""
        (held,) = [one for one in logged if one["event"] == "configuration held by the safeguard"]
        enterprise = service.runtime.preferences.enterprises[HOSPITAL]
        assert (enterprise.syncs, enterprise.display_name) == (True, "Another name")
        assert site.dnc("K1") == "yes"
        key = service.runtime.keys.create("operator", HOSPITAL, "operator", service.runtime.clock())[1]
        assert service.address is not None
        connection = HTTPConnection(*service.address, timeout=60)
        connection.request("POST", f"/v1/runs/{held['run']}/approve", None, {"Authorization": f"Bearer {key}"})
        assert connection.getresponse().status == 200
        connection.close()
        service.runtime.configurations.refresh()
        assert not service.runtime.preferences.enterprises[HOSPITAL].syncs


class InTheMiddle:
    """Edits the configuration after the first batch of a run, and collects the runs that ended."""

    def __init__(self) -> None:
        self.ended_runs: list[Run] = []
        self.edit = lambda: ""
        self.why: list[str] = []

    def progress(self, source: str) -> Progress:
        def after_a_batch(done: int, total: int | None, what: str = "") -> None:
            if not self.why:
                self.why.append(self.edit())

        return after_a_batch

    def ended(self, run: Run) -> None:
        self.ended_runs.append(run)


def test_a_run_of_a_changed_source_ends_between_two_batches_and_others_go_on(tmp_path: Path, sqlite_url: str) -> None:
    with RehearsalEmr(patients=40, seed=3) as emr:
        (tmp_path / "key.pem").write_text(emr.private_key)
        site = Site(tmp_path, sqlite_url)
        fhir = emr.fhir_source(enterprise=HOSPITAL, private_key=f"file:{tmp_path / 'key.pem'}")
        site.content["sources"]["fhir"] = {**fhir, "page_size": "10", "schedule": "never"}
        watch = InTheMiddle()
        with serving(load(written(tmp_path, site.content), {}), ["api"], watch) as site.service:
            for changed, status in (("adt", RunStatus.DONE), ("fhir", RunStatus.STOPPED)):
                watch.why.clear()
                watch.edit = _renaming(site, changed)
                site.service.worker.do(Job("fhir", RunKind.FULL))
                assert (watch.why, watch.ended_runs[-1].status) == ([""], status)
            site.service.worker.do(Job("fhir", RunKind.FULL))
            assert watch.ended_runs[-1].status == RunStatus.DONE


def _renaming(site: Site, source: str) -> Any:
    def rename() -> str:
        if source == "adt":
            site.adt["mapping"]["do_not_contact"]["values"]["NEW"] = "yes"
        else:
            site.content["sources"]["fhir"]["time_zone"] = "America/New_York"
        return site.reload()

    return rename


def test_an_enterprise_that_is_new_or_removed_counts_at_once(tmp_path: Path, database_url: str) -> None:
    site = Site(tmp_path, database_url)
    with site.served("listen") as service:
        site.content["enterprises"]["clinic"] = {"sync_contact_preferences": "true"}
        assert site.reload() == ""
        assert set(service.runtime.preferences.enterprises) == {HOSPITAL, "clinic"}
        with pytest.raises(PatientUnknown):
            service.runtime.preferences.find("clinic", PatientRef(value="MRN1"))
        del site.content["enterprises"]["clinic"]
        assert site.reload() == ""
        assert "clinic" not in service.runtime.preferences.enterprises
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["enterprises"].keys() == {HOSPITAL}


def test_a_stop_in_the_middle_of_a_reload_leaves_no_listener_behind(tmp_path: Path, sqlite_url: str) -> None:
    site = Site(tmp_path, sqlite_url)
    with site.served("listen") as service:
        for number in range(4):
            site.content["sources"][f"more-{number}"] = {**site.adt, "listen": f"127.0.0.1:{free_port()}"}
        written(tmp_path, site.content)
        service.reloads.put(True)
    assert not [one.name for one in threading.enumerate() if one.name.startswith(("listen-", "reload"))]
