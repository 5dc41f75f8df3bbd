"""MLLP intake over 32 connections: every message is mapped, merged and durably committed before its ACK.

The receiver is the real listener, engine and store in a process of its own; the sender is another process. The floor is the
same listener with the same group commit that only inserts the raw bytes as one row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import load_mllp
from bench.databases import Databases
from bench.figure import Figure
from bench.receiver import receiving

CONNECTIONS = 32


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count = 4_000 if quick else 20_000
    for kind in databases.kinds:
        floor = _rates(databases, kind, "floor", count, revisions=1)[0]
        for what, real in zip(("new patients", "changed patients"), _rates(databases, kind, "real", count, revisions=2), strict=True):
            yield Figure(
                "intake",
                f"MLLP, {CONNECTIONS} connections, {what}",
                real,
                "messages/s",
                floor=floor,
                floor_is="frame, insert, ACK",
                least=1_000,
                least_ratio=0.25,
                database=kind,
                details={"messages": count},
            )


def _rates(databases: Databases, kind: str, mode: str, count: int, *, revisions: int) -> list[float]:
    with databases.fresh(kind) as url, tempfile.TemporaryDirectory() as folder, receiving(Path(folder), url, mode) as (port, _):
        found = [load_mllp.drive(port, connections=CONNECTIONS, messages=count, revision=revision) for revision in range(revisions)]
    return [_checked(result, count) for result in found]


def _checked(result: dict[str, Any], count: int) -> float:
    if result["accepted"] != count:
        raise RuntimeError(f"{count} messages were sent, {result['accepted']} accepted: {result['codes']}")
    return float(result["rate"])
