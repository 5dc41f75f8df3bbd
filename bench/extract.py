"""A delimited extract of 1,000,000 rows in any order, read by the command line, killed in the middle, and read on.

There are five rows for each patient. The command is a separate process, which gets SIGKILL when half of the patients are stored; a second
one continues. Afterwards every patient must have been applied once, with the answers of the file. "Flat" means that a file twice as
large needs at most a tenth more memory. The memory is that of the command with its children; that of PostgreSQL's processes is beside it.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml

from adapters.rehearsal.dialect import AUTHORITY
from bench import site
from bench.databases import Databases
from bench.figure import Figure
from bench.memory import COMMAND, SAMPLE
from store.db.database import Database
from store.domain.patient import PatientRef
from sync.config.loading import load
from sync.runtime import Runtime

SOURCE, FILE = "bench-extract", "prefs_20261101.csv"
CONCEPTS = ("SMS", "CALL", "EMAIL", "MAIL", "PORTAL")
ROWS, FEW = 1_000_000, 50_000
STRIDE = 479_001_599  # a prime: rows in its steps look shuffled
SAMPLED = 20
COUNTED = 8  # samples of memory between two counts of patients, which cost the database more


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    rows = FEW if quick else ROWS
    for kind in databases.kinds:
        large = _killed_and_resumed(databases, kind, rows)
        what = f"extract of {rows:,} rows, killed and resumed"
        yield Figure("extract", what, rows / large.seconds, "rows/s", database=kind, counts={"applied": large.patients})
        details = {"killed after": large.killed_after, "again unchanged": large.unchanged, "database's processes, MB": large.server}
        yield Figure("extract", "memory of the command, highest", large.memory, "MB", most=200, database=kind, details=details)
        if quick:
            continue  # too few rows to fill the caches
        growth = _killed_and_resumed(databases, kind, 2 * rows).memory / large.memory
        yield Figure("extract", f"memory, {2 * rows:,} rows / {rows:,} rows", growth, "", most=1.1, database=kind)


@dataclass
class Watched:
    """What was seen of the commands. ``memory``, ``server``: MB at the highest."""

    patients: int
    seconds: float = 0.0
    memory: float = 0.0
    server: float = 0.0
    killed_after: int = 0
    unchanged: int = 0
    _began: float = field(default_factory=time.perf_counter)

    def sample(self, process: psutil.Process, server: psutil.Process | None) -> None:
        self.memory = max(self.memory, _megabytes(process, "rss"))
        if server is not None:
            self.server = max(self.server, _megabytes(server, "pss"))


def _killed_and_resumed(databases: Databases, kind: str, rows: int) -> Watched:
    found = Watched(rows // len(CONCEPTS))
    with databases.fresh(kind) as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "drop").mkdir()
        write(folder / "drop" / FILE, rows)
        config, server = _site(folder, url), databases.server_process(kind)
        began = time.perf_counter()
        found.killed_after = _kill_halfway(config, url, found, server)
        counts = _command(config, partial(found.sample, server=server))
        found.seconds = time.perf_counter() - began
        found.unchanged = int(counts.get("unchanged", 0))
        if counts.get("applied", 0) + found.killed_after != found.patients or _count(url, "changes") != found.patients:
            raise RuntimeError(f"not every patient was applied once: {counts} after {found.killed_after:,}")
        _check(config, found.patients)
    return found


def write(path: Path, rows: int) -> None:
    """The file: every row once, in no order that a patient's rows would be together in."""
    with path.open("w") as file:
        file.write("MRN,CONCEPT,ANSWER\n")
        for place in range(rows):
            patient, concept = divmod(place * STRIDE % rows, len(CONCEPTS))
            file.write(f"MRN{patient:07},{CONCEPTS[concept]},{_answer(patient, concept)}\n")
        file.write(f"TRL,{rows}\n")
    os.utime(path, (0, 0))


def _answer(patient: int, concept: int) -> str:
    return "YN"[(patient >> concept) % 2]


def _site(folder: Path, url: str) -> Path:
    config = site.write(folder, url, sources=())
    document = yaml.safe_load(config.read_text())
    document["sources"] = {
        SOURCE: {
            "enterprise": site.ENTERPRISE,
            "adapter": "files.delimited",
            "path": str(folder / "drop"),
            "semantics": "snapshot",
            "tables": {"patients": {"file": "prefs_%Y%m%d.csv", "patient": "MRN", "rows": "many"}},
            "trailer": {"starts": "TRL", "field": 2},
            "record": {"id": "MRN", "patient_id": "MRN"},
            "patient_id": {"authority": AUTHORITY, "type": "MR"},
            "schedule": "never",
            "mapping": {
                f"consent.{channel}": {"from": f"rows[CONCEPT={concept}].ANSWER", "values": {"Y": "granted", "N": "denied"}}
                for channel, concept in (("sms", "SMS"), ("voice", "CALL"), ("email", "EMAIL"))
            },
        }
    }
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    return config


def _kill_halfway(config: Path, url: str, found: Watched, server: psutil.Process | None) -> int:
    """Kills the command when half of the patients are stored; gives how many are."""

    looks = itertools.count(1)

    def look(process: psutil.Process) -> None:
        found.sample(process, server)
        if next(looks) % COUNTED == 0 and _count(url, "patients") >= found.patients // 2:
            process.send_signal(signal.SIGKILL)

    _command(config, look)
    stored = _count(url, "patients")
    if not found.patients // 2 <= stored < found.patients:
        raise RuntimeError(f"it was not killed in the middle: {stored:,} of {found.patients:,} patients are stored")
    return stored


def _command(config: Path, look: Callable[[psutil.Process], None]) -> dict[str, Any]:
    """Reads the source; gives the counts, nothing if it was killed."""
    command = [*COMMAND, "-c", str(config), "resync", SOURCE, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        ended = threading.Event()
        while not ended.wait(SAMPLE) and process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                look(watched)
        assert process.stdout is not None
        answer = process.stdout.read()
    return dict(json.loads(answer)["counts"]) if answer else {}


def _count(url: str, table: str) -> int:
    database = Database.open(url)
    try:
        with database.read() as connection:
            return int(database.select(connection, f"SELECT count(*) FROM {table}", [])[0][0])
    finally:
        database.close()


def _check(config: Path, patients: int) -> None:
    """Raises ``RuntimeError`` if a patient, of every twentieth, does not have the answers of the file."""
    runtime = Runtime.open(load(config, {}))
    try:
        for number in range(0, patients, SAMPLED):
            found = runtime.preferences.find(site.ENTERPRISE, PatientRef(authority=AUTHORITY, value=f"MRN{number:07}"))
            stored = [found.preferences[f"consent.{channel}"].value for channel in ("sms", "voice", "email")]
            if stored != [{"Y": "granted", "N": "denied"}[_answer(number, concept)] for concept in range(3)]:
                raise RuntimeError("a patient has other answers than the file")
    finally:
        runtime.close()


def _megabytes(process: psutil.Process, what: str) -> float:
    """The memory of a process and its children."""
    found = 0.0
    with suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            found += getattr(one.memory_full_info() if what == "pss" else one.memory_info(), what) / 1e6
    return found
