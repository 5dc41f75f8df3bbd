"""The process is killed during its work and restarted: no acknowledged message is lost, none is applied twice."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from store.db.database import Database
from tests.functional.forked import start
from tests.functional.program import emr_sync, free_port, hospital, serving, written

PATIENTS = 400
PATIENCE = 90.0  # seconds; the machine may be busy
START, END = b"\x0b", b"\x1c\r"


def message(number: int, revision: int) -> bytes:
    """Revision 0 permits contact; revision 1, a minute later, is Do Not Contact."""
    code = "DNC" if revision else "OK"
    return (
        f"MSH|^~\\&|EHR|GH|SYNC|GH|2026110108300{revision}||ADT^A08|K{number}R{revision}|P|2.5.1\r"
        f"EVN|A08|20261101083{revision}00\r"
        f"PID|1||K{number}^^^GENHOSP^MR||Invented^Person||19700101|F|||||(217)555-0123^PRN^CP\r"
        f"ZCP|1|{code}\r"
    ).encode()


class Feed(threading.Thread):
    """Sends messages one by one over one connection; after a failure, resends from the first unacknowledged one."""

    def __init__(self, port: int, messages: list[bytes]) -> None:
        super().__init__(daemon=True)
        self.port, self.messages, self.acknowledged, self.stop = port, messages, 0, threading.Event()

    def run(self) -> None:
        while self.acknowledged < len(self.messages) and not self.stop.is_set():
            try:
                with closing(socket.create_connection(("127.0.0.1", self.port), timeout=10)) as connection:
                    self._send_all(connection)
            except (OSError, AssertionError):
                time.sleep(0.05)

    def _send_all(self, connection: socket.socket) -> None:
        for body in self.messages[self.acknowledged :]:
            connection.sendall(START + body + END)
            answer = b""
            while not answer.endswith(END):
                chunk = connection.recv(4096)
                assert chunk, "the connection broke before the acknowledgement"
                answer += chunk
            assert b"MSA|AA|" in answer
            self.acknowledged += 1


def changes_by_patient(url: str) -> dict[int, list[str]]:
    database = Database.open(url)
    with database.read() as connection:
        rows = database.select(connection, "SELECT patient_id, evidence_id FROM changes ORDER BY seq", [])
    database.close()
    found: dict[int, list[str]] = {}
    for patient, evidence in rows:
        found.setdefault(patient, []).append(evidence)
    return found


def test_a_kill_during_intake_loses_and_duplicates_nothing(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    config = written(tmp_path, hospital(database_url, port))
    messages = [message(number, revision) for number in range(PATIENTS) for revision in (0, 1)]
    feeds = [Feed(port, messages[part * 200 : part * 200 + 200]) for part in range(4)]
    acknowledged_at_kill = []
    for _ in range(3):
        with serving(config, port, "--only", "listen") as process:
            for feed in feeds:
                if not feed.is_alive() and feed.ident is None:
                    feed.start()
            _wait_until_more(feeds, 60)
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=PATIENCE)
            acknowledged_at_kill.append(sum(feed.acknowledged for feed in feeds))
    with serving(config, port, "--only", "listen"):
        for feed in feeds:
            feed.join(timeout=60)
    assert [feed.acknowledged for feed in feeds] == [200] * 4
    assert len(set(acknowledged_at_kill)) == 3, "each kill must come during the work"
    history = changes_by_patient(database_url)
    assert len(history) == PATIENTS
    assert all(len(evidence) == len(set(evidence)) for evidence in history.values()), "something was applied twice"
    assert emr_sync(config, "patient", f"GENHOSP|K{PATIENTS - 1}")["preferences"]["do_not_contact"]["value"] == "yes"


def _wait_until_more(feeds: list[Feed], count: int) -> None:
    goal = min(sum(feed.acknowledged for feed in feeds) + count, sum(len(feed.messages) for feed in feeds) - 1)
    deadline = time.monotonic() + PATIENCE
    while sum(feed.acknowledged for feed in feeds) < goal:
        assert time.monotonic() < deadline, "the feed makes no progress"
        time.sleep(0.005)


@pytest.fixture
def slow_emr() -> Iterator[RehearsalEmr]:
    """An EMR that delays each page, so that a test can interrupt a run."""
    with RehearsalEmr(patients=PATIENTS, seed=11) as emr:
        emr.faults.delay = 0.05
        yield emr


def test_a_kill_during_a_run_loses_and_duplicates_nothing(database_url: str, tmp_path: Path, slow_emr: RehearsalEmr) -> None:
    (tmp_path / "key.pem").write_text(slow_emr.private_key)
    source = slow_emr.fhir_source(enterprise="general-hospital", private_key=f"file:{tmp_path / 'key.pem'}")
    configuration = hospital(database_url, free_port())
    configuration["sources"] = {"genhosp-fhir": {**source, "page_size": "20"}}
    config = written(tmp_path, configuration)
    emr_sync(config, "runs")  # creates the schema
    process = start(["-c", str(config), "resync", "genhosp-fhir", "--json"], Path(os.devnull), Path(os.devnull))
    stored = _wait_for_patients(database_url, 40)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=PATIENCE)
    assert stored < PATIENTS, "the process must be killed during the run"
    assert _cursor(database_url) is None, "the cursor must stay until everything is committed"

    slow_emr.faults.delay = 0
    report = emr_sync(config, "resync", "genhosp-fhir")
    assert report["status"] == "done"
    assert report["counts"]["rejected"] == 0
    assert report["counts"]["applied"] + report["counts"]["unchanged"] >= PATIENTS
    history = changes_by_patient(database_url)
    assert len(history) == PATIENTS
    assert all(len(evidence) == 1 for evidence in history.values()), "something was applied twice"
    assert _cursor(database_url) is not None
    statuses = {run["status"] for run in emr_sync(config, "runs", "genhosp-fhir")}
    assert statuses == {"done", "failed"}


def _wait_for_patients(url: str, count: int) -> int:
    database, deadline = Database.open(url), time.monotonic() + PATIENCE
    while True:
        with database.read() as connection:
            stored = int(database.select(connection, "SELECT count(*) FROM patients", [])[0][0])
        if stored >= count:
            database.close()
            return stored
        assert time.monotonic() < deadline, "the run makes no progress"
        time.sleep(0.01)


def _cursor(url: str) -> str | None:
    database = Database.open(url)
    with database.read() as connection:
        rows = database.select(connection, "SELECT cursor FROM source_states", [])
    database.close()
    return rows[0][0] if rows else None
