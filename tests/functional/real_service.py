"""A service with child processes, which a test kills, stops and tells to reload, seen from outside."""

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

from adapters.rehearsal.emr import RehearsalEmr
from store.runs.encryption import new_key
from store.runs.processes import Processes
from sync.config import load
from sync.demo import ENTERPRISE, FHIR, configuration
from sync.runtime import Runtime
from tests.functional.forked import Program, start, with_child
from tests.functional.program import free_port

WITHIN = 150.0


class Site:
    """A service with its child processes, and what can be seen of it from outside."""

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
    def served(self, *options: str, processes: int = 2, prepare: Callable[[], None] = with_child) -> Iterator[None]:
        log = self.file.parent / "log"
        log.touch()
        before = len(self.started())
        self.process = start(["-c", str(self.file), "serve", *options], log, log, prepare)
        try:
            until(lambda: self.has_ended() or (len(self.started()) == before + processes and len(self.processes()) == processes), self)
            assert not self.has_ended(), self.log[-3000:]
            yield
        finally:
            self.kill()

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def processes(self, *roles: str) -> list[int]:
        """Those that run, or those of them with one of these roles: the first one before those that it started."""
        found = [one for one in Processes(self.runtime.database).read() if not roles or one.place.role in roles]
        pids = {int(one.process.rpartition(":")[2]) for one in found}
        return sorted(filter(is_alive, pids), key=lambda pid: pid != self.process.pid)

    def child(self) -> int | None:
        """The process with the role work."""
        return next(iter(self.processes("work")), None)

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
