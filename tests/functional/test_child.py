"""Runs in a process of their own: real processes that are killed, stopped and told to reload, on both databases."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from store.runs.encryption import new_key
from store.runs.processes import Processes
from sync.config import load
from sync.demo import ADT, ENTERPRISE, FHIR, configuration
from sync.runtime import Runtime
from tests.functional.forked import ONE_PROCESS, Program, start
from tests.functional.program import free_port

PATIENTS = 60
WITHIN = 150.0


def with_child() -> None:
    """The program starts a child, which is a new interpreter."""
    del os.environ[ONE_PROCESS]


class Site:
    """A service, and what can be seen of it from outside."""

    def __init__(self, emr: RehearsalEmr, folder: Path, database: str) -> None:
        self.emr, self.port = emr, free_port()
        self.file = configuration(emr, folder)
        changes = {"database": database, "api": {"listen": f"127.0.0.1:{self.port}"}, "logs": {"level": "info"}, "batch_size": 5}
        changes["work"] = {"silence": "6s"}  # a killed run is taken up again after that
        changes["payload_keys"] = {"current": "k1", "keys": {"k1": new_key()}}
        self.document: dict[str, Any] = json.loads(self.file.read_text()) | changes
        self.document["sources"][FHIR] |= {"schedule": "never", "page_size": "5"}
        self.write()
        self.runtime = Runtime.open(load(self.file, {}))
        self.operator = self.runtime.keys.create("operator", ENTERPRISE, "operator", self.runtime.clock())[1]
        self.sender = self.runtime.keys.create("sender", ENTERPRISE, "sender", self.runtime.clock())[1]
        self.process: Program

    def add_source(self, name: str) -> None:
        self.document["sources"][name] = {**self.document["sources"][FHIR]}
        self.write()

    def write(self) -> None:
        self.file.write_text(json.dumps(self.document))

    @property
    def log(self) -> str:
        return (self.file.parent / "log").read_text()

    @contextmanager
    def served(self) -> Iterator[None]:
        log = self.file.parent / "log"
        log.touch()
        before = len(self.started())
        self.process = start(["-c", str(self.file), "serve"], log, log, with_child)
        try:
            until(lambda: len(self.started()) == before + 2 and self.child() and self.answers("/readyz"), self)
            yield
        finally:
            self.kill()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def child(self) -> int | None:
        """The process with the role work."""
        found = [one for one in Processes(self.runtime.database).read() if one.place.role == "work"]
        alive = [int(one.process.rpartition(":")[2]) for one in found]
        return next((pid for pid in alive if is_alive(pid)), None)

    def kill_child(self) -> None:
        """Kills it, and returns when the next one works."""
        child, before = self.child(), len(self.started())
        assert child is not None
        os.kill(child, signal.SIGKILL)
        until(lambda: len(self.started()) > before and self.child() not in (None, child), self)

    def started(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [one for one in lines if one["event"] == "started"]

    def refusals(self) -> list[tuple[str, str]]:
        """Processes, and why they did not reload."""
        return sorted({(one.process, one.reload.why_not) for one in Processes(self.runtime.database).read() if one.reload})

    def answers(self, path: str) -> bool:
        try:
            return self.asked("GET", path)[0] == 200
        except OSError:
            return False

    def asked(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def resync(self) -> str:
        status, text = self.asked("POST", f"/v1/sources/{FHIR}/resync", key=self.operator)
        assert status == 202, text
        return str(json.loads(text)["run"])

    def decision(self) -> int:
        patient = {"authority": "GENHOSP", "value": self.emr.entry(0).person.mrn}
        return self.asked("POST", "/v1/decisions", {"patient": patient, "message_type": "automation", "channels": ["sms"]}, self.sender)[0]

    def statuses(self) -> list[str]:
        return [str(run.status) for run in self.runtime.journal.runs(source=FHIR)]

    def applied(self) -> int:
        return sum(run.counts.get("applied", 0) for run in self.runtime.journal.runs(source=FHIR))

    def changes(self) -> int:
        """How often a patient was changed: once for each patient, where nothing was applied twice."""
        with self.runtime.database.read() as connection:
            return int(self.runtime.database.select(connection, "SELECT coalesce(sum(version), 0) FROM patients", [])[0][0])

    def patients(self) -> int:
        with self.runtime.database.read() as connection:
            return int(self.runtime.database.select(connection, "SELECT count(*) FROM patients", [])[0][0])


def is_alive(pid: int) -> bool:
    """Whether it runs. One that has ended, and that nobody has asked for its exit code yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], object], site: Site) -> None:
    """Looks less and less often: what it looks at costs the service and its database more than the waiting costs."""
    deadline, pause = time.monotonic() + WITHIN, 0.02
    while not condition():
        assert time.monotonic() < deadline, site.log[-3000:]
        time.sleep(pause)
        pause = min(1.2 * pause, 0.2)


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    with RehearsalEmr(patients=PATIENTS, seed=3) as emr:
        found = Site(emr, tmp_path, database_url)
        yield found
        found.runtime.close()


def in_the_middle(site: Site) -> None:
    """A requested run that has applied some patients and waits for the EMR."""
    site.emr.faults.delay = 0.2
    site.resync()
    until(lambda: 0 < site.applied() < PATIENTS, site)


def test_a_decision_is_answered_while_another_process_does_the_run(site: Site) -> None:
    with site.served():
        child = site.child()
        assert child is not None
        assert child != site.process.pid
        with site.runtime.database.write(ENTERPRISE):  # so that it does not stand still while it writes, which would stop all who write
            os.kill(child, signal.SIGSTOP)  # whatever a run does to its process
        run = site.resync()
        assert site.decision() == 200
        assert site.runtime.journal.run(run).status == "queued"
        os.kill(child, signal.SIGCONT)
        until(lambda: site.statuses() == ["done"], site)
        assert site.patients() == PATIENTS


def test_killing_the_process_of_a_run_loses_and_doubles_nothing(site: Site) -> None:
    with site.served():
        in_the_middle(site)
        child = site.child()
        assert child is not None
        os.kill(child, signal.SIGKILL)
        assert site.decision() == 200
        until(lambda: "done" in site.statuses(), site)
        assert sorted(site.statuses()) == ["done", "failed"]
        assert (site.patients(), site.changes()) == (PATIENTS, PATIENTS)
        assert site.child() not in (None, child)
        assert 'emr_sync_failures_total{kind="process"} 1.0' in site.asked("GET", "/metrics")[1]
        _, ready = site.asked("GET", "/readyz", key=site.operator)
        assert [one["kind"] for one in json.loads(ready)["failures"]] == ["process"]
        assert "a process ended and is started again" in site.log


def test_killing_the_process_of_the_api_ends_its_child_and_the_next_start_goes_on(site: Site) -> None:
    with site.served():
        in_the_middle(site)
        child = site.child()
        assert child is not None
        site.kill()
        until(lambda: not is_alive(child), site)
    with site.served():
        until(lambda: "done" in site.statuses(), site)
        assert (site.patients(), site.changes()) == (PATIENTS, PATIENTS)


def test_a_reload_reaches_the_child(site: Site) -> None:
    with site.served():
        site.add_source("second")
        site.process.send_signal(signal.SIGHUP)
        until(lambda: site.log.count("configuration reloaded") == 2, site)
        assert site.asked("POST", "/v1/sources/second/resync", key=site.operator)[0] == 202
        until(lambda: [one.status for one in site.runtime.journal.runs(source="second")] == ["done"], site)


def test_a_reload_that_is_refused_changes_neither_process_and_both_say_why(site: Site) -> None:
    with site.served():
        site.document["work"] |= {"parallel": "7"}
        site.write()
        site.process.send_signal(signal.SIGHUP)
        until(lambda: len(site.refusals()) == 2, site)
        assert {why for _, why in site.refusals()} == {f"{site.file}: restart the service to change work.parallel"}
        site.resync()
        until(lambda: site.statuses() == ["done"], site)


def test_a_child_that_is_started_again_uses_what_is_in_force_and_not_a_file_that_was_changed_meanwhile(site: Site) -> None:
    with site.served():
        site.add_source("second")
        site.kill_child()
        assert [one["sources"] for one in site.started()] == [[FHIR, ADT]] * 3
        site.file.write_text("no configuration")
        site.kill_child()
        site.resync()
        until(lambda: site.statuses() == ["done"], site)


def test_a_child_that_is_started_again_after_a_reload_uses_the_reloaded_settings(site: Site) -> None:
    with site.served():
        site.add_source("second")
        site.process.send_signal(signal.SIGHUP)
        until(lambda: site.log.count("configuration reloaded") == 2, site)
        site.kill_child()
        assert [one["sources"] for one in site.started()] == [[FHIR, ADT]] * 2 + [[FHIR, ADT, "second"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_processes_stop_cleanly(site: Site, number: signal.Signals) -> None:
    with site.served():
        child = site.child()
        assert child is not None
        site.process.send_signal(number)
        assert site.process.wait(WITHIN) == 0
        assert not is_alive(child)
    assert Processes(site.runtime.database).read() == []
    assert "started again" not in site.log
    assert site.log.count('"stopped"') == 2


def test_stopping_in_a_run_ends_it_between_two_batches_and_the_next_start_goes_on(site: Site) -> None:
    with site.served():
        in_the_middle(site)
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(WITHIN) == 0
    assert site.statuses() == ["stopped"]
    assert site.changes() == site.patients() == site.applied() < PATIENTS
    with site.served():
        until(lambda: "done" in site.statuses(), site)
        assert (site.patients(), site.changes()) == (PATIENTS, PATIENTS)


def test_a_service_stops_in_time_although_its_child_is_frozen(site: Site) -> None:
    if not site.runtime.database.is_sqlite:
        pytest.skip("the parent waits 20 seconds, on both databases alike")
    with site.served():
        child = site.child()
        assert child is not None
        os.kill(child, signal.SIGSTOP)
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(WITHIN) == 0
        assert not is_alive(child)
    assert "a process did not stop in time and was killed" in site.log


def test_a_child_that_is_told_to_stop_by_itself_is_started_again_and_not_counted_as_a_failure(site: Site) -> None:
    with site.served():
        child = site.child()
        assert child is not None
        os.kill(child, signal.SIGTERM)
        until(lambda: site.child() not in (None, child), site)
        assert "a process was stopped and is started again" in site.log
        assert 'emr_sync_failures_total{kind="process"} 0.0' in site.asked("GET", "/metrics")[1]


def test_a_signal_to_all_processes_at_once_stops_them(site: Site) -> None:
    """As a service manager and a terminal send it."""
    with site.served():
        child = site.child()
        assert child is not None
        for process in (child, site.process.pid):
            os.kill(process, signal.SIGTERM)
        assert site.process.wait(WITHIN) == 0
        assert not is_alive(child)
    assert "failure" not in site.log


def test_the_metrics_of_both_processes_are_added_up_and_do_not_go_back(site: Site) -> None:
    applied = f'emr_sync_records_total{{outcome="applied",source="{FHIR}"}} {PATIENTS}.0'
    with site.served():
        site.resync()
        until(lambda: site.statuses() == ["done"], site)
        until(lambda: applied in site.asked("GET", "/metrics")[1], site)
        site.kill_child()
        assert applied in site.asked("GET", "/metrics")[1]
