"""How long senders wait for a decision while somebody tries to stop the answers, beside the same service left alone.

One service answers and listens, with everything in one process; a sender asks 100 times a second, whatever the answers take.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench import asks, open_loop, site
from bench.attackers import ATTACKS
from bench.databases import Databases
from bench.done import require_decisions
from bench.figure import Figure
from bench.load_http import request
from bench.pages import SEALED, serving

MOST_MS, RATE, SETTLING, MOST_SETTLING = 100.0, 100.0, 3.0, 5
ALONE = "no attack"


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    patients, seconds = (500, 5.0) if quick else (5_000, 30.0)
    for kind in databases.kinds:
        with databases.fresh(kind) as url, asks.folder() as folder:
            http, mllp = site.free_port(), site.free_port()
            config = _config(folder, url, http, mllp)
            key = asks.fill(config, patients)
            requests = [request("/v1/decisions", body, key) for body in asks.bodies(patients)]
            with serving(config, "api,listen"):
                alone: dict[str, Any] = {}
                for name in (ALONE, *ATTACKS):
                    _settle(http, requests, alone)
                    found, done = _measured(name, (http, mllp, key), requests, seconds)
                    alone = alone or found
                    yield from _figures(kind, name, found, alone, done)


def _settle(port: int, requests: list[bytes], alone: dict[str, Any]) -> None:
    """Until what the last attack left, such as passwords still to be checked, is done."""
    for _ in range(MOST_SETTLING):
        found = open_loop.result(open_loop.start(port, requests, rate=RATE, seconds=SETTLING))
        if not alone or found["p50"] <= 2 * alone["p50"]:
            return


def _measured(name: str, target: tuple[int, int, str], requests: list[bytes], seconds: float) -> tuple[dict[str, Any], dict[str, int]]:
    if name == ALONE:
        return open_loop.result(open_loop.start(target[0], requests, rate=RATE, seconds=seconds)), {}
    command = [sys.executable, "-m", "bench.attackers", name, *map(str, target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attackers:
        try:
            found = open_loop.result(open_loop.start(target[0], requests, rate=RATE, seconds=seconds))
        finally:
            told, _ = attackers.communicate("")
    done = dict[str, int](json.loads(told))
    if not sum(done.values()):
        raise RuntimeError(f"{name}: nothing was tried: this would measure the service left alone")
    return found, done


def _figures(kind: str, name: str, found: dict[str, Any], alone: dict[str, Any], done: dict[str, int]) -> Iterator[Figure]:
    require_decisions(found["decisions"], found["requests"] - found["failures"])
    counts = {**found["decisions"], "failed": found["failures"], **{f"attack: {what}": number for what, number in done.items()}}
    details = {"most_ms": found["most"]}
    for share, most in (("p50", None), ("p99", MOST_MS)):
        floor, told = (alone[share], ALONE) if name != ALONE else (None, "")
        yield Figure(
            "attacks",
            f"decision {share}, {name}",
            found[share],
            "ms",
            floor,
            told,
            most=most,
            database=kind,
            details=details,
            counts=counts,
        )
    yield Figure("attacks", f"decisions that failed, {name}", found["failures"], "", most=0, database=kind, details=details, counts=counts)


def _config(folder: Path, url: str, http: int, mllp: int) -> Path:
    path = site.write(folder, url, listen=f"127.0.0.1:{http}", mllp=f"127.0.0.1:{mllp}")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | SEALED, sort_keys=False))
    return path
