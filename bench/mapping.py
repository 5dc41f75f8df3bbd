"""Reading and mapping one ADT^A08 of about 1 KB, one thread, beside hl7apy's parse of the same messages.

Contents vary from message to message (names, numbers, preferences, which fields are valued), as a feed's do, so that caches
help no more than they would in production.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hl7apy.parser import parse_message

from adapters.base import Payload
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.rehearsal.emr import RehearsalEmr
from bench import site
from bench.databases import Databases
from bench.figure import Figure
from store.preference import PatientStatements


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    bodies = list(RehearsalEmr(patients=5_000 if quick else 20_000, seed=11).messages())
    with tempfile.TemporaryDirectory() as folder:
        mapper = Hl7Mapper(site.settings(Path(folder), "sqlite:///unused.db").feeds[site.ADT].settings)
    received = datetime.now(UTC)
    payloads = [Payload(body, f"bench:{number}", received) for number, body in enumerate(bodies)]
    if not all(isinstance(mapper.read(payload)[0], PatientStatements) for payload in payloads[:200]):
        raise RuntimeError("the messages do not map: this would measure rejections")
    ours, theirs = _both(mapper, payloads, 2 if quick else 5)
    yield Figure(
        "mapping",
        "read and map one ADT^A08",
        ours,
        "messages/s",
        floor=theirs,
        floor_is="hl7apy parse_message",
        least_ratio=200,
        details={"bytes": sum(map(len, bodies)) / len(bodies), "microseconds": 1e6 / ours},
    )


def _both(mapper: Hl7Mapper, payloads: list[Payload], rounds: int) -> tuple[float, float]:
    """Messages a second of both, in turns, so that a busy machine slows both; the median of the rounds."""
    sample = [payload.body.decode() for payload in payloads[:60]]
    pairs = [(_rate(mapper.read, payloads), _rate(_parse, sample)) for _ in range(rounds)]
    return sorted(ours for ours, _ in pairs)[rounds // 2], sorted(theirs for _, theirs in pairs)[rounds // 2]


def _parse(text: str) -> Any:
    return parse_message(text, find_groups=False)


def _rate(read: Callable[[Any], Any], given: list[Any]) -> float:
    began = time.perf_counter()
    for one in given:
        read(one)
    return len(given) / (time.perf_counter() - began)
