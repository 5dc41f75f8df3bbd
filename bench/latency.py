"""How long senders wait for a decision at 25, 50 and 75% of the most that the service answers: idle, and while a run works in it.

The most is found with 16 clients that each wait for their answer. The latencies are those of an open loop (``bench.open_loop``): requests
are due at fixed times, whatever the answers take, and a request that has to wait counts from when it was due. The run is a resync of a
bulk export, which the rehearsal EMR in the benchmark's own process delivers. All of it shares the machine's processors.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from adapters.rehearsal.emr import RehearsalEmr
from bench import asks, load_http, open_loop, site
from bench.bulk import BULK
from bench.databases import Databases
from bench.done import require, require_decisions
from bench.figure import Figure
from bench.pages import SEALED, serving
from store.users.api_keys import ApiKeys
from store.web.api.decisions import ADDRESS
from sync.config.loading import load
from sync.runtime import Runtime

SHARES, CLIENTS, WARM_UP, PATIENCE = (0.25, 0.5, 0.75), 16, 1.0, 60.0
MOST = 0.5
"""The share of requests that must be answered: below that, the latency is that of failures."""
MOST_TIMES = 1.5
"""Target: as many times as long while a run works as when idle."""


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    patients, seconds, exported = (2_000, 3.0, 100_000) if quick else (20_000, 20.0, 500_000)
    for kind in databases.kinds:
        with databases.fresh(kind) as url, asks.folder() as folder, RehearsalEmr(patients=exported, seed=12) as emr:
            emr.exports.file_size = exported // 10
            config = _config(folder, url, emr)
            key, operator = asks.fill(config, patients), _operator(config)
            requests = [load_http.request(ADDRESS, body, key) for body in asks.bodies(patients)]
            with serving(config, "api,work") as (port, _):
                yield from _figures(kind, port, requests, seconds, operator)


def _figures(kind: str, port: int, requests: list[bytes], seconds: float, operator: str) -> Iterator[Figure]:
    most = load_http.drive(port, requests, clients=CLIENTS, seconds=seconds)["rate"]
    idle = {share: _loop(port, requests, most * share, seconds) for share in SHARES}
    service = _Service(port, operator)
    service.resync()
    working = {share: service.beside_its_run(lambda rate=most * share: _loop(port, requests, rate, seconds)) for share in SHARES}
    for share in SHARES:
        for name in ("p50", "p99"):
            what = f"decision {name} at {share:.0%} of {most:,.0f}/s"
            yield Figure("latency", f"{what}, idle", idle[share][name], "ms", database=kind, counts=_counts(idle[share]))
            limit = MOST_TIMES * idle[share][name]
            found, counts = working[share][name], _counts(working[share])
            yield Figure("latency", f"{what}, with a run", found, "ms", idle[share][name], "idle", most=limit, database=kind, counts=counts)


def _loop(port: int, requests: list[bytes], rate: float, seconds: float) -> dict[str, Any]:
    open_loop.result(open_loop.start(port, requests, rate=rate, seconds=WARM_UP))
    found = open_loop.result(open_loop.start(port, requests, rate=rate, seconds=seconds))
    require_decisions(found["decisions"], found["requests"] - found["failures"])
    require({"answered": found["requests"] - found["failures"]}, found["requests"], "answered", MOST)
    return found


def _counts(found: dict[str, Any]) -> dict[str, int]:
    run = {f"{outcome} by the run": number for outcome, number in found.get("run", {}).items()}
    return {**found["decisions"], "failed": found["failures"], **run}


class _Service:
    """The service as an operator sees it."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.headers = port, {"Authorization": f"Bearer {key}"}

    def resync(self) -> None:
        """Starts the run, and returns when it has applied its first records."""
        self._asked("POST", f"/v1/sources/{BULK}/resync", 202)
        until = time.monotonic() + PATIENCE
        while not self._done()["applied"]:
            if time.monotonic() > until:
                raise RuntimeError(f"the run does not work: {self._run()}")
            time.sleep(0.1)

    def beside_its_run(self, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was measured, with what the run did meanwhile. Raises ``RuntimeError`` unless it applied records all the time."""
        before = self._done()
        found = measure()
        run = self._done() - before
        if self._run()["status"] != "running":
            raise RuntimeError("the run ended too early: this would measure an idle service")
        if not run:
            raise RuntimeError("the run did nothing meanwhile: this would measure an idle service")
        require(run, run.total(), "applied")
        return found | {"run": run}

    def _done(self) -> Counter[str]:
        return Counter(self._run()["counts"])

    def _run(self) -> dict[str, Any]:
        sources = {one["name"]: one for one in self._asked("GET", "/v1/sources", 200)}
        return dict(sources[BULK]["last_run"])

    def _asked(self, method: str, path: str, expected: int) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, headers=self.headers)
        reply = connection.getresponse()
        body = json.loads(reply.read())
        connection.close()
        if reply.status != expected:
            raise RuntimeError(f"{method} {path}: HTTP {reply.status} {body}")
        return body


def _config(folder: Path, url: str, emr: RehearsalEmr) -> Path:
    path = site.write(folder, url, listen=f"127.0.0.1:{site.free_port()}")
    document = yaml.safe_load(path.read_text()) | SEALED
    document["sources"][BULK] = emr.bulk_source(enterprise=site.ENTERPRISE)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def _operator(config: Path) -> str:
    """The key of an operator."""
    runtime = Runtime.open(load(config, {}))
    _, key = ApiKeys(runtime.database).create("bench-operator", site.ENTERPRISE, "operator", runtime.clock())
    runtime.close()
    return key
