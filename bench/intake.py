"""MLLP intake over 32 connections: every message is mapped, merged and durably committed before its ACK.

The receiver is the real listener, engine and store in a separate process; the sender is another process. The floor is the same listener
with the same group commit, but it only inserts the raw bytes as one row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import load_mllp
from bench.databases import Databases
from bench.figure import Figure
from bench.receiver import receiving
from bench.turns import Rate, middle, processor_seconds

CONNECTIONS = 32


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count, rounds = (4_000, 1) if quick else (20_000, 3)
    for kind in databases.kinds:
        found = [_round(databases, kind, count) for _ in range(rounds)]
        floor, new, changed = (middle(each) for each in zip(*found, strict=True))
        for what, real in (("new patients", new), ("changed patients", changed)):
            yield Figure(
                "intake",
                f"MLLP, {CONNECTIONS} connections, {what}",
                real.rate,
                "messages/s",
                floor=floor.rate,
                floor_is="frame, insert, ACK",
                least=1_000,
                least_ratio=0.25,
                database=kind,
                details={"messages": count, "cpu_us": real.cpu_us, "floor_cpu_us": floor.cpu_us},
            )


def _round(databases: Databases, kind: str, count: int) -> list[Rate]:
    """The floor, all patients new, all patients changed; one after the other."""
    return [*_rates(databases, kind, "floor", count, revisions=1), *_rates(databases, kind, "real", count, revisions=2)]


def _rates(databases: Databases, kind: str, mode: str, count: int, *, revisions: int) -> list[Rate]:
    with databases.fresh(kind) as url, tempfile.TemporaryDirectory() as folder, receiving(Path(folder), url, mode) as (port, pid):
        return [_rate(port, pid, count, revision) for revision in range(revisions)]


def _rate(port: int, pid: int, count: int, revision: int) -> Rate:
    used = processor_seconds(pid)
    result = load_mllp.drive(port, connections=CONNECTIONS, messages=count, revision=revision)
    if result["accepted"] != count:
        raise RuntimeError(f"{count} messages were sent, {result['accepted']} accepted: {result['codes']}")
    return Rate(result["rate"], 1e6 * (processor_seconds(pid) - used) / count)
