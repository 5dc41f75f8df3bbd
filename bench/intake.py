"""MLLP intake over 32 connections: every message is mapped, merged and durably committed before its ACK.

The receiver is the real listener, engine and store in a separate process; the sender is another process. The floor is the same listener
with the same group commit, but it only inserts the raw bytes as one row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench import load_mllp
from bench.databases import Databases
from bench.done import NEARLY_ALL, require
from bench.figure import Figure
from bench.receiver import Receiver, receiving
from bench.turns import Rate, middle, processor_seconds

CONNECTIONS = 32
LEAST = {"sqlite": (0.45, 0.40), "postgresql": (0.40, 0.30)}


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count, rounds = (4_000, 1) if quick else (20_000, 3)
    for kind in databases.kinds:
        found = [_round(databases, kind, count) for _ in range(rounds)]
        floor, new, changed = (middle(each) for each in zip(*found, strict=True))
        for what, real, least in (("new patients", new, LEAST[kind][0]), ("changed patients", changed, LEAST[kind][1])):
            details = {"messages": count, "server_us": real.server_us, "floor_server_us": floor.server_us}
            named = f"MLLP, {CONNECTIONS} connections, {what}"
            yield Figure.of(
                "intake", named, real, "messages/s", floor, "frame, insert, ACK",
                database=kind, details=details, least_cpu_ratio=least,
            )  # fmt: skip


def _round(databases: Databases, kind: str, count: int) -> list[Rate]:
    """The floor, all patients new, all patients changed; one after the other."""
    return [*_rates(databases, kind, "floor", count, revisions=1), *_rates(databases, kind, "real", count, revisions=2)]


def _rates(databases: Databases, kind: str, mode: str, count: int, *, revisions: int) -> list[Rate]:
    with databases.fresh(kind) as url, tempfile.TemporaryDirectory() as folder, receiving(Path(folder), url, mode) as receiver:
        return [_rate(partial(databases.server_seconds, kind), receiver, count, revision) for revision in range(revisions)]


def _rate(server_seconds: Callable[[], float], receiver: Receiver, count: int, revision: int) -> Rate:
    own, server, before = processor_seconds(receiver.pid), server_seconds(), receiver.counts()
    result = load_mllp.drive(receiver.port, connections=CONNECTIONS, messages=count, revision=revision)
    if result["accepted"] != count:
        raise RuntimeError(f"{count} messages were sent, {result['accepted']} accepted: {result['codes']}")
    own, server = processor_seconds(receiver.pid) - own, server_seconds() - server
    counts = receiver.counts() - before
    require(counts, count, "applied", NEARLY_ALL if revision else 1.0)
    return Rate(result["rate"], 1e6 * (own + server) / count, counts, 1e6 * server / count)
