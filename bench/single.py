"""``POST /v1/decisions``, one request at a time, 16 clients, compared with an empty route of the same server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from bench import api, asks, load_http
from bench.databases import Databases
from bench.figure import Figure
from bench.turns import Rate, in_turns, processor_seconds

CLIENTS = 16


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    patients, seconds, rounds = (5_000, 3.0, 1) if quick else (50_000, 6.0, 3)
    for kind in databases.kinds:
        with api.answering(databases, kind, patients) as server:
            clients = _Clients(server, asks.bodies(patients), seconds)
            empty, real = in_turns(rounds, partial(clients.load, api.EMPTY), partial(clients.load, "/v1/decisions"))
        yield Figure(
            "single",
            f"POST /v1/decisions, {CLIENTS} clients",
            real.rate,
            "asks/s",
            floor=empty.rate,
            floor_is="empty route",
            least_ratio=0.3,
            database=kind,
            details={"patients": patients, "cpu_us": real.cpu_us, "floor_cpu_us": empty.cpu_us, **clients.latency},
        )


@dataclass(slots=True)
class _Clients:
    """The clients of one server. ``latency`` is that of the last load."""

    server: api.Server
    bodies: list[bytes]
    seconds: float
    latency: dict[str, float] = field(default_factory=dict)

    def load(self, path: str) -> Rate:
        server, used = self.server, processor_seconds(self.server.pid)
        requests = [load_http.request(path, body, server.key) for body in self.bodies]
        result = load_http.drive(server.port, requests, clients=CLIENTS, seconds=self.seconds)
        if result["failures"]:
            raise RuntimeError(f"{result['failures']} requests failed")
        self.latency = {"ms_p50": result["p50"], "ms_p99": result["p99"]}
        return Rate(result["rate"], 1e6 * (processor_seconds(server.pid) - used) / result["answered"])
