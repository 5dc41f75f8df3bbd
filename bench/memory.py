"""Ingesting a large NDJSON file with the command line: memory over time, and patients per second with the start of the command.

The command runs in a separate process, as an engineer would run it; its resident memory, with that of the process that maps, is sampled
until it ends. "Flat" means that the last quarter of the run needs at most a tenth more memory than the second quarter. (``bench.ingest``
has the processor time and its floors.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from adapters.rehearsal.emr import RehearsalEmr
from bench import site
from bench.databases import Databases
from bench.done import require
from bench.figure import Figure

SAMPLE = 0.25
COMMAND = [sys.executable, "-c", "import sys; from sync.commands.cli import main; sys.exit(main())"]


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count = 50_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patients.ndjson"
        RehearsalEmr(patients=count, seed=11).export(file)
        for kind in databases.kinds:
            yield from _figures(databases, kind, Path(folder), file, count, quick=quick)


def _figures(databases: Databases, kind: str, folder: Path, file: Path, count: int, *, quick: bool) -> Iterator[Figure]:
    with databases.fresh(kind) as url:
        seconds, memory, counts = _ingest(folder, url, file, count)
    yield Figure("memory", f"ingest {count:,} NDJSON patients", count / seconds, "patients/s", database=kind, counts=counts)
    yield Figure("memory", "resident memory, highest", max(memory), "MB", most=300, database=kind, details={"over_time": thinned(memory)})
    if quick:
        return  # too short to have settled
    quarter = len(memory) // 4
    growth = max(memory[-quarter:]) / max(memory[quarter : 2 * quarter])
    yield Figure("memory", "memory, last quarter / second quarter", growth, "", most=1.1, database=kind)


def _ingest(folder: Path, url: str, file: Path, count: int) -> tuple[float, list[float], dict[str, int]]:
    """The seconds taken, resident memory over time in MB, and the outcomes."""
    config = site.write(folder, url, sources=(site.FHIR,))
    began, memory = time.perf_counter(), []
    command = [*COMMAND, "-c", str(config), "ingest", site.FHIR, str(file), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            memory.append(resident(watched))
            time.sleep(SAMPLE)
        assert process.stdout is not None
        counts = dict[str, int](json.loads(process.stdout.read())["counts"])
    seconds = time.perf_counter() - began
    require(counts, count, "applied")
    return seconds, [one for one in memory if one], counts


def resident(process: psutil.Process) -> float:
    """Resident memory in MB, with that of its children; 0 for a process that has just ended."""
    try:
        return float(process.memory_info().rss) / 1e6 + sum(map(resident, process.children()))
    except psutil.Error:
        return 0.0  # it has just ended


def thinned(memory: list[float]) -> list[int]:
    """About twenty samples, evenly over the run."""
    step = max(1, len(memory) // 20)
    return [round(one) for one in memory[::step]]
