"""Decisions in batch: in process, as JSON arrays of 10,000 and as NDJSON over HTTP, compared with reading one row each by its key.

Over HTTP, processor time is that of the service alone, with all its threads.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from bench import api, asks, load_http, load_ndjson, site
from bench.databases import Databases
from bench.done import Check, require, require_decisions
from bench.figure import Figure
from bench.turns import Rate, in_turns, processor_seconds
from store.db.database import Database, utc_now
from store.web.api.decisions import Decisions
from store.web.api.wire import AskIn
from store.web.http.auth import Callers
from store.web.http.lanes import Lanes
from sync.config.loading import load
from sync.runtime import Runtime

BATCH = 10_000
ADDRESS = "/v1/decisions/batch"
GOAL, LEAST_RATIO = 50_000, 0.3
TIMES = 4  # that each request is repeated in NDJSON
ROW = "SELECT i.value, p.contact FROM identifiers i JOIN patients p ON p.id = i.patient_id WHERE i.enterprise = ? AND i.value IN ??"


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    patients, seconds = (BATCH, 4.0) if quick else (5 * BATCH, 12.0)
    for kind in databases.kinds:
        floor, real = _in_process(databases, kind, patients, seconds)
        yield replace(_figure(kind, "in process", real, floor, patients), least_cpu_ratio=LEAST_RATIO)
        for what, rate in _over_http(databases, kind, patients, seconds):
            yield _figure(kind, what, rate, floor, patients)


def _figure(kind: str, what: str, real: Rate, floor: Rate, patients: int) -> Figure:
    details = {"patients": patients}
    return Figure.of("batch", what, real, "asks/s", floor, "read rows by key", least=GOAL, database=kind, details=details)


def _in_process(databases: Databases, kind: str, patients: int, seconds: float) -> list[Rate]:
    with databases.fresh(kind) as url, asks.folder() as folder:
        config = site.write(folder, url)
        asks.fill(config, patients)
        runtime = Runtime.open(load(config, {}))
        lanes = Lanes.create()
        callers = Callers(runtime.keys, runtime.settings.enterprises, lanes, utc_now)
        decisions = Decisions(runtime.preferences, callers, utc_now, lanes)
        batches = _batches([msgspec.json.decode(body, type=AskIn) for body in asks.bodies(patients)])
        gc.collect()
        gc.freeze()  # the data prepared here must not be work for the server's collector
        found = in_turns(
            4,
            lambda: _rate(partial(_rows, runtime.database), batches, seconds / 12, partial(require, outcome="rows")),
            lambda: _rate(partial(_decided, decisions), batches, seconds / 6, require_decisions),
        )
        gc.unfreeze()
        runtime.close()
    return found


def _rows(database: Database, batch: list[AskIn]) -> Counter[str]:
    with database.read() as connection:
        return Counter(rows=len(database.select(connection, ROW, [site.ENTERPRISE, [ask.patient.value for ask in batch]])))


def _decided(decisions: Decisions, batch: list[AskIn]) -> Counter[str]:
    return Counter(answer.decision for answer in decisions.decide_mixed(site.ENTERPRISE, batch))


def _over_http(databases: Databases, kind: str, patients: int, seconds: float) -> Iterator[tuple[str, Rate]]:
    with api.answering(databases, kind, patients) as server:
        requests = [load_http.request(ADDRESS, b"[" + b",".join(batch) + b"]", server.key) for batch in _batches(asks.bodies(patients))]
        for clients in (1, 2):
            yield f"JSON arrays of {BATCH:,}, {clients} client{'s' * (clients > 1)}", _arrays(server, requests, clients, seconds)
        yield f"NDJSON, {TIMES * patients:,} lines, 1 client", _ndjson(server, b"\n".join(asks.bodies(patients)) + b"\n", TIMES * patients)


def _arrays(server: api.Server, requests: list[bytes], clients: int, seconds: float) -> Rate:
    used = processor_seconds(server.pid)
    result = load_http.drive(server.port, requests, clients=clients, seconds=seconds)
    used, number = processor_seconds(server.pid) - used, result["answered"] * BATCH
    if result["failures"]:
        raise RuntimeError(f"{result['failures']} requests failed")
    require_decisions(result["decisions"], number)
    return Rate(result["rate"] * BATCH, 1e6 * used / number, result["decisions"])


def _ndjson(server: api.Server, lines: bytes, number: int) -> Rate:
    """Lines sent and answered per second, streamed both ways."""
    used = processor_seconds(server.pid)
    result = load_ndjson.drive(server.port, ADDRESS, server.key, lines, times=TIMES)
    used = processor_seconds(server.pid) - used
    if result["lines"] != number:
        raise RuntimeError(f"{number} lines were sent, {result['lines']} answered")
    require_decisions(result["decisions"], number)
    return Rate(number / result["seconds"], 1e6 * used / number, result["decisions"])


def _batches(everything: list[Any]) -> list[list[Any]]:
    return [everything[start : start + BATCH] for start in range(0, len(everything), BATCH)]


def _rate(work: Callable[[list[Any]], Counter[str]], batches: list[list[Any]], seconds: float, check: Check) -> Rate:
    """Requests per second in whole batches, measured for about that long. ``work`` tells what became of a batch."""
    began, used, done, counts = time.perf_counter(), time.process_time(), 0, Counter[str]()
    while time.perf_counter() < began + seconds:
        batch = batches[done // BATCH % len(batches)]
        counts += work(batch)
        done += len(batch)
    took, used = time.perf_counter() - began, time.process_time() - used
    check(counts, done)
    return Rate(done / took, 1e6 * used / done, counts)
