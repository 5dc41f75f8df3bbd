"""``emr-sync ingest`` with a process that maps: either is killed in the middle, and the next run ends with each record applied once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from store.db.database import Database
from sync.mapping_ahead import LOST, AheadRule
from tests.functional.forked import Program, start
from tests.functional.program import emr_sync, ended, hospital, written

PATIENTS, BATCH, SOURCE = 2_000, 50, "genhosp-fhir"
WITHIN = 120.0
INTERRUPTED = 130
pytestmark = [pytest.mark.crash, pytest.mark.timeout(5 * WITHIN)]  # a machine that may be busy


def two() -> float:
    return 2.0


def map_ahead() -> None:
    """In the program: a load is large soon, and there is a processor to spare."""
    AheadRule.__init__.__defaults__ = (40, 10, WITHIN, two)  # type: ignore[misc]


def patient(number: int) -> dict[str, Any]:
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    identifier = {"system": "https://hospital.example/mrn", "value": f"M{number}", "type": kind}
    phone = {"system": "phone", "use": "mobile", "value": f"217-555-{number:04}"}
    meta = {"versionId": "1", "lastUpdated": "2026-10-31T08:00:00Z"}
    return {"resourceType": "Patient", "id": f"p{number}", "meta": meta, "identifier": [identifier], "telecom": [phone]}


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    configuration = hospital(database_url, 0)
    configuration["batch_size"] = str(BATCH)
    configuration["enterprises"]["general-hospital"]["authorities"] = {"GENHOSP": ["https://hospital.example/mrn"]}
    source = {"adapter": "fhir.rest", "base_url": "https://ehr.example/r4", "schedule": {"every": "1h"}}
    named = {"enterprise": "general-hospital", "patient_id": {"authority": "GENHOSP", "type": "MR"}}
    configuration["sources"] = {SOURCE: source | named}
    (tmp_path / "patients.ndjson").write_text("".join(json.dumps(patient(number)) + "\n" for number in range(PATIENTS)))
    file = written(tmp_path, configuration)
    emr_sync(file, "runs")  # creates the schema
    return file


class Ingest:
    """The command, while it works."""

    def __init__(self, config: Path, database_url: str) -> None:
        self.folder, self.url = config.parent, database_url
        arguments = ["-c", str(config), "ingest", SOURCE, str(self.folder / "patients.ndjson"), "--json"]
        self.program: Program = start(arguments, self.folder / "out", self.folder / "err", map_ahead)
        self.other: psutil.Process

    def wait_for_the_middle(self) -> None:
        """Until something is committed that the other process mapped: more than is on its way at a time."""
        self._until(lambda: bool(self._found()), "no process maps")
        (self.other,) = self._found()
        before = stored(self.url)
        self._until(lambda: stored(self.url) >= before + 200, "nothing is committed")

    def _found(self) -> list[psutil.Process]:
        return [one for one in psutil.Process(self.program.pid).children() if "sync.mapping_process" in one.cmdline()]

    def _until(self, reached: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + WITHIN
        while not reached():
            assert self.program.poll() is None, "the command ended before it could be killed"
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.005)

    def other_ends(self) -> None:
        """Returns once the other process has ended."""
        deadline = time.monotonic() + WITHIN
        while self.other.is_running() and self.other.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the process that maps outlived the command"
            time.sleep(0.005)

    def written(self) -> tuple[str, str]:
        return (self.folder / "out").read_text(), (self.folder / "err").read_text()


def stored(url: str, table: str = "patients") -> int:
    database = Database.open(url)
    with database.read() as connection:
        ((found,),) = database.select(connection, f"SELECT count(*) FROM {table}", [])
    database.close()
    return int(found)


def counts(out: str) -> dict[str, int]:
    return {outcome: number for outcome, number in json.loads(out)["counts"].items() if number}


def all_there_once(url: str) -> None:
    assert (stored(url), stored(url, "changes"), stored(url, "rejections")) == (PATIENTS, PATIENTS, 0)


def test_killed_while_it_maps_the_load_goes_on(config: Path, database_url: str) -> None:
    ingest = Ingest(config, database_url)
    ingest.wait_for_the_middle()
    ingest.other.kill()
    assert ingest.program.wait(WITHIN) == 0
    out, err = ingest.written()
    assert counts(out) == {"applied": PATIENTS}
    assert [json.loads(line)["event"] for line in err.splitlines()] == [LOST]
    all_there_once(database_url)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_process_that_maps_ends_with_the_command_and_the_next_one_does_the_rest(config: Path, database_url: str, number: int) -> None:
    ingest = Ingest(config, database_url)
    ingest.wait_for_the_middle()
    os.kill(ingest.program.pid, number)
    assert ingest.program.wait(WITHIN) == (INTERRUPTED if number == signal.SIGINT else -number)
    ingest.other_ends()
    assert ingest.written() == ("", "")
    before = stored(database_url)
    assert before < PATIENTS
    code, out, err = ended(config, "ingest", SOURCE, str(ingest.folder / "patients.ndjson"), "--json", prepare=map_ahead)
    assert (code, err) == (0, "")
    assert counts(out) == {"applied": PATIENTS - before, "unchanged": before}
    all_there_once(database_url)
