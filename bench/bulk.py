"""A bulk export of many patients, read by the command line from the rehearsal EMR over a socket: patients per second, and memory over time.

Both run on this machine, so the EMR, which generates the lines, takes its share of the processor. The floor fetches the same files over
the same socket and counts their lines. "Flat" means the same as in ``ingest``.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import yaml

from adapters.base import SourceSettings
from adapters.fhir.bulk.adapter import BulkAdapter
from adapters.fhir.bulk.download import FileDownloads
from adapters.fhir.bulk.export import Export, ExportReady
from adapters.rehearsal.emr import RehearsalEmr
from bench import site
from bench.databases import Databases
from bench.done import require
from bench.figure import Figure
from bench.memory import COMMAND, SAMPLE, resident, thinned
from bench.turns import Rate, ended_seconds

BULK = "bench-bulk"
FILE_SIZE = 50_000


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count = 50_000 if quick else 1_000_000
    with RehearsalEmr(patients=count, seed=11) as emr:
        emr.exports.file_size = 5_000 if quick else FILE_SIZE
        floor = _floor(emr, count)
        for kind in databases.kinds:
            with tempfile.TemporaryDirectory() as folder, databases.fresh(kind) as url:
                real, memory = _read(emr, Path(folder), url, count)
            yield Figure(
                "bulk",
                f"{count:,} exported patients",
                real.rate,
                "patients/s",
                floor=floor.rate,
                floor_is="fetch",
                database=kind,
                cpu_us=real.cpu_us,
                floor_cpu_us=floor.cpu_us,
                counts=real.counts,
            )
            yield Figure(
                "bulk", "resident memory, highest", max(memory), "MB", most=300, database=kind, details={"over_time": thinned(memory)}
            )
            if not quick:
                quarter = len(memory) // 4
                growth = max(memory[-quarter:]) / max(memory[quarter : 2 * quarter])
                yield Figure("bulk", "memory, last quarter / second quarter", growth, "", most=1.1, database=kind)


def _read(emr: RehearsalEmr, folder: Path, url: str, count: int) -> tuple[Rate, list[float]]:
    """The command's rate with its start, and resident memory over time in MB."""
    config = site.write(folder, url)
    document = yaml.safe_load(config.read_text())
    document["sources"][BULK] = emr.bulk_source(enterprise=site.ENTERPRISE)
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    began, used, memory = time.perf_counter(), ended_seconds(), []
    with subprocess.Popen([*COMMAND, "-c", str(config), "resync", BULK, "--json"], stdout=subprocess.PIPE) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            memory.append(resident(watched))
            time.sleep(SAMPLE)
        assert process.stdout is not None
        counts = dict[str, int](json.loads(process.stdout.read())["counts"])
    took, used = time.perf_counter() - began, ended_seconds() - used
    require(counts, count, "applied")
    return Rate(count / took, 1e6 * used / count, counts), [one for one in memory if one]


def _floor(emr: RehearsalEmr, count: int) -> Rate:
    """The rate if the files are only fetched. Processor time is that of this thread: the EMR has others."""
    source = emr.bulk_source(enterprise=site.ENTERPRISE)
    options = {name: source[name] for name in ("base_url", "auth", "export")}
    adapter = BulkAdapter(SourceSettings("floor", "fhir.bulk", options=options))
    began, used = time.perf_counter(), time.thread_time()
    with closing(adapter.rest.client()) as client:
        export = Export(client)
        status, *_ = export.request("Patient/$export", {"_type": "Patient"})
        while not isinstance(found := export.poll(status), ExportReady):
            time.sleep(0.01)
        lines = sum(1 for fetched in FileDownloads(client).files(found.files) for _ in fetched.lines())
        export.delete(status)
    if lines != count:
        raise RuntimeError("not every patient was exported")
    return Rate(count / (time.perf_counter() - began), 1e6 * (time.thread_time() - used) / count)
