"""Decisions in batch: in process, as JSON arrays of 10,000 and as NDJSON over HTTP, compared with reading one row each by its key."""

from __future__ import annotations

import gc
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from bench import api, asks, load_http, load_ndjson, site
from bench.databases import Databases
from bench.figure import Figure
from bench.turns import Rate, in_turns
from store.db.database import Database, utc_now
from store.web.api.decisions import Decisions
from store.web.api.wire import AskIn
from store.web.http.auth import Callers
from store.web.http.lanes import Lanes
from sync.config.loading import load
from sync.runtime import Runtime

BATCH = 10_000
GOAL, LEAST_RATIO = 50_000, 0.3
ROW = "SELECT i.value, p.contact FROM identifiers i JOIN patients p ON p.id = i.patient_id WHERE i.enterprise = ? AND i.value IN ??"


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    patients, seconds = (BATCH, 4.0) if quick else (5 * BATCH, 12.0)
    for kind in databases.kinds:
        floor, real = _in_process(databases, kind, patients, seconds)
        yield replace(
            _figure(kind, "in process", real.rate, floor.rate, patients),
            cpu_us=real.cpu_us,
            floor_cpu_us=floor.cpu_us,
            least_cpu_ratio=LEAST_RATIO,
        )
        for what, rate in _over_http(databases, kind, patients, seconds):
            yield _figure(kind, what, rate, floor.rate, patients)


def _figure(kind: str, what: str, rate: float, floor: float, patients: int) -> Figure:
    return Figure(
        "batch", what, rate, "asks/s", floor=floor, floor_is="read rows by key", least=GOAL, database=kind, details={"patients": patients}
    )


def _in_process(databases: Databases, kind: str, patients: int, seconds: float) -> list[Rate]:
    with databases.fresh(kind) as url, asks.folder() as folder:
        config = site.write(folder, url)
        asks.fill(config, patients)
        runtime = Runtime.open(load(config, {}))
        lanes = Lanes.create()
        callers = Callers(runtime.keys, runtime.settings.enterprises, lanes, utc_now)
        decisions = Decisions(runtime.preferences, callers, utc_now, lanes)
        batches = _batches([msgspec.json.decode(body, type=AskIn) for body in asks.bodies(patients)])
        if not any(answer.decision == "send" for answer in decisions.decide_mixed(site.ENTERPRISE, batches[0])):
            raise RuntimeError("nobody may be sent anything: this would measure refusals")
        gc.collect()
        gc.freeze()  # the data prepared here must not be work for the server's collector
        found = in_turns(
            4,
            lambda: _rate(lambda batch: _rows(runtime.database, batch), batches, seconds / 12),
            lambda: _rate(lambda batch: decisions.decide_mixed(site.ENTERPRISE, batch), batches, seconds / 6),
        )
        gc.unfreeze()
        runtime.close()
    return found


def _rows(database: Database, batch: list[AskIn]) -> None:
    with database.read() as connection:
        database.select(connection, ROW, [site.ENTERPRISE, [ask.patient.value for ask in batch]])


def _over_http(databases: Databases, kind: str, patients: int, seconds: float) -> Iterator[tuple[str, float]]:
    with api.answering(databases, kind, patients) as (port, _, key):
        arrays = [b"[" + b",".join(batch) + b"]" for batch in _batches(asks.bodies(patients))]
        requests = [load_http.request("/v1/decisions/batch", body, key) for body in arrays]
        _check_answers(port, key, arrays[0])
        for clients in (1, 2):
            result = load_http.drive(port, requests, clients=clients, seconds=seconds)
            if result["failures"]:
                raise RuntimeError(f"{result['failures']} requests failed")
            yield f"JSON arrays of {BATCH:,}, {clients} client{'s' * (clients > 1)}", result["rate"] * BATCH
        yield f"NDJSON, {4 * patients:,} lines, 1 client", _ndjson(port, key, b"\n".join(asks.bodies(patients)) + b"\n", 4, patients)


def _check_answers(port: int, key: str, body: bytes) -> None:
    """Checks the answers: one per request, some to send and some not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/decisions/batch", body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    found = json.loads(connection.getresponse().read())
    connection.close()
    if len(found) != BATCH or {one["decision"] for one in found} != {"send", "do_not_send"}:
        raise RuntimeError("the batch was not answered as it should be")


def _ndjson(port: int, key: str, lines: bytes, times: int, patients: int) -> float:
    """Lines sent and answered per second, streamed both ways."""
    result = load_ndjson.drive(port, "/v1/decisions/batch", key, lines, times=times)
    if result["lines"] != times * patients:
        raise RuntimeError(f"{times * patients} lines were sent, {result['lines']} answered")
    return float(result["lines"] / result["seconds"])


def _batches(everything: list[Any]) -> list[list[Any]]:
    return [everything[start : start + BATCH] for start in range(0, len(everything), BATCH)]


def _rate(work: Callable[[list[Any]], object], batches: list[list[Any]], seconds: float) -> Rate:
    """Requests per second in whole batches, measured for about that long."""
    began, used, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < began + seconds:
        batch = batches[done // BATCH % len(batches)]
        work(batch)
        done += len(batch)
    return Rate(done / (time.perf_counter() - began), 1e6 * (time.process_time() - used) / done)
