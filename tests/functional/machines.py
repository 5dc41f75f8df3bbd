"""Processes of one service, each with some of its roles, over one PostgreSQL database."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from store.db.database import Database
from store.runs.queued_runs import QueuedRuns
from store.runs.runs import Journal, Run
from store.users.api_keys import ApiKeys
from sync.queue import Job
from sync.queue_shared import SharedQueue
from sync.run import Lane
from sync.runtime import utc_now
from tests.functional.forked import Program, start

PATIENCE = 90.0


class Machine(NamedTuple):
    """One process and its log."""

    process: Program
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        whole = self.log.read_text() if self.log.exists() else "".rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def runs(self) -> list[str]:
        """The runs that this process ended."""
        return [line["run"] for line in self.lines() if line.get("event") == "run ended"]

    def kill(self) -> None:
        """Kills the process, like a power cut."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def end(self) -> int:
        """Requests a stop; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def machine(config: Path, roles: str, *arguments: str) -> Iterator[Machine]:
    """``emr-sync serve --only …``, once it has started; stopped at the end of the block."""
    log = config.parent / f"{roles}-{time.monotonic_ns()}.log"
    process = start(["-c", str(config), "serve", "--only", roles, *arguments], log, log)
    one = Machine(process, log)
    try:
        until(lambda: process.poll() is not None or any(line.get("event") == "started" for line in one.lines()))
        assert process.poll() is None, log.read_text()[-2000:]
        yield one
    finally:
        if process.poll() is None:
            one.end()


def until(condition: Callable[[], Any]) -> Any:
    """Polls until there is a result; gives the result."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.05)
    return found


class OneHospital:
    """Assigns every source to the hospital."""

    def lane(self, job: Job) -> Lane:
        return Lane(job.source, "general-hospital")


class SharedJournal:
    """The journal that all processes share."""

    def __init__(self, url: str) -> None:
        self.database = Database.open(url)
        self.journal = Journal(self.database)

    def close(self) -> None:
        self.database.close()

    def request_run(self, source: str) -> None:
        """Requests a run, as a schedule does."""
        queue = SharedQueue(self.database, QueuedRuns(self.journal), OneHospital(), utc_now, threading.Event())
        assert queue.put(Job(source))

    def runs(self, *statuses: str, kind: str | None = None) -> list[Run]:
        """Runs in these states, oldest first."""
        return [run for run in reversed(self.journal.runs()) if run.status in statuses and kind in (None, run.kind)]

    def owner(self, run: Run) -> int:
        """The process that has a run."""
        return int(str(self._one("SELECT owner FROM runs WHERE id = ?", run.id)).rpartition(":")[2])

    def patients(self) -> int:
        """The number of patients."""
        return int(self._one("SELECT count(*) FROM patients"))

    def duplicates(self) -> int:
        """The number of patients with evidence that was applied more than once."""
        sql = "SELECT count(*) FROM (SELECT 1 FROM changes GROUP BY patient_id, evidence_id HAVING count(*) > 1) AS found"
        return int(self._one(sql))

    def key(self, role: str) -> str:
        """A key of the hospital's."""
        return ApiKeys(self.database).create(role, "general-hospital", role, utc_now())[1]

    def _one(self, sql: str, *parameters: str) -> Any:
        with self.database.read() as connection:
            return self.database.select(connection, sql, list(parameters))[0][0]


def call(address: str, method: str, path: str, key: str, body: Any = None) -> tuple[int, Any]:
    """One request to the API of a process."""
    connection = HTTPConnection(address, timeout=PATIENCE)
    connection.request(method, path, None if body is None else json.dumps(body), {"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()
