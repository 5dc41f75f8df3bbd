"""``POST /v1/decisions``, one request at a time, 16 clients, compared with a bare ASGI application of the same server.

The goals are ratios of processor time: rates also depend on what else the machine does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection

from bench import api, asks, load_http
from bench.databases import Databases
from bench.done import require_decisions
from bench.figure import Figure
from bench.turns import Rate, in_turns, processor_seconds
from store.web.api.decisions import ADDRESS

CLIENTS = 16
LEAST = {"sqlite": 0.35, "postgresql": 0.25}


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    patients, seconds, rounds = (5_000, 3.0, 1) if quick else (50_000, 6.0, 3)
    for kind in databases.kinds:
        with api.answering(databases, kind, patients) as server:
            clients = _Clients(server, asks.bodies(patients), seconds)
            bare, real = in_turns(rounds, partial(clients.load, api.BARE + str(clients.answer_bytes())), clients.ask)
        what, details = f"POST /v1/decisions, {CLIENTS} clients", {"patients": patients, **clients.latency}
        yield Figure.of(
            "single", what, real, "asks/s", bare, "bare ASGI application", database=kind, details=details, least_cpu_ratio=LEAST[kind]
        )


@dataclass(slots=True)
class _Clients:
    """The clients of one server. ``latency`` and ``answered`` are those of the last load."""

    server: api.Server
    bodies: list[bytes]
    seconds: float
    latency: dict[str, float] = field(default_factory=dict)
    answered: int = 0

    def answer_bytes(self) -> int:
        """The size of an answer."""
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        connection.request("POST", ADDRESS, self.bodies[0], {"Authorization": f"Bearer {self.server.key}"})
        size = len(connection.getresponse().read())
        connection.close()
        return size

    def ask(self) -> Rate:
        """Asks for decisions. Raises ``RuntimeError`` if not every request was decided, or all alike."""
        found = self.load(ADDRESS)
        require_decisions(found.counts, self.answered)
        return found

    def load(self, path: str) -> Rate:
        server, used = self.server, processor_seconds(self.server.pid)
        requests = [load_http.request(path, body, server.key) for body in self.bodies]
        result = load_http.drive(server.port, requests, clients=CLIENTS, seconds=self.seconds)
        if result["failures"]:
            raise RuntimeError(f"{result['failures']} requests failed")
        if not result["requests"]:
            raise RuntimeError("nothing was answered in time")
        self.latency, self.answered = {"ms_p50": result["p50"], "ms_p99": result["p99"]}, result["answered"]
        return Rate(result["rate"], 1e6 * (processor_seconds(server.pid) - used) / result["answered"], result["decisions"])
