"""``POST /v1/decisions``, one ask at a time, 16 clients, beside an empty route of the same server."""

from __future__ import annotations

from collections.abc import Iterator

from bench import api, asks, load_http
from bench.databases import Databases
from bench.figure import Figure

CLIENTS = 16


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    patients, seconds = (5_000, 3.0) if quick else (50_000, 10.0)
    for kind in databases.kinds:
        with api.answering(databases, kind, patients) as (port, key):
            bodies = asks.bodies(patients)
            empty = load_http.drive(port, [load_http.request(api.EMPTY, body, key) for body in bodies], clients=CLIENTS, seconds=seconds)
            real = load_http.drive(
                port, [load_http.request("/v1/decisions", body, key) for body in bodies], clients=CLIENTS, seconds=seconds
            )
        for result in (empty, real):
            if result["failures"]:
                raise RuntimeError(f"{result['failures']} requests failed")
        yield Figure(
            "single",
            f"POST /v1/decisions, {CLIENTS} clients",
            real["rate"],
            "asks/s",
            floor=empty["rate"],
            floor_is="empty route",
            least_ratio=0.3,
            database=kind,
            details={"patients": patients, "ms_p50": real["p50"], "ms_p99": real["p99"]},
        )
