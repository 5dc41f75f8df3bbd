"""Reading and mapping ADT^A08 messages of about 1 KB in one thread, compared with hl7apy's parse of the same messages.

Messages vary in names, numbers, preferences and valued fields, as in a real feed, so that caches help no more than in production.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
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
from bench.done import require
from bench.figure import Figure
from bench.turns import Rate, in_turns
from store.preference import PatientStatements


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    bodies = list(RehearsalEmr(patients=5_000 if quick else 20_000, seed=11).messages())
    with tempfile.TemporaryDirectory() as folder:
        mapper = Hl7Mapper(site.settings(Path(folder), "sqlite:///unused.db").feeds[site.ADT].settings)
    received = datetime.now(UTC)
    payloads = [Payload(body, f"bench:{number}", received) for number, body in enumerate(bodies)]
    counts = Counter("mapped" if isinstance(mapper.read(payload)[0], PatientStatements) else "rejected" for payload in payloads)
    require(counts, len(payloads), "mapped")
    sample = [payload.body.decode() for payload in payloads[:60]]
    mapped, parsed = in_turns(2 if quick else 5, lambda: _rate(mapper.read, payloads), lambda: _rate(_parse, sample))
    found, details = mapped._replace(counts=counts), {"bytes": sum(map(len, bodies)) / len(bodies)}
    what, floor_is = "read and map one ADT^A08", "hl7apy parse_message"
    yield Figure.of("mapping", what, found, "messages/s", parsed, floor_is, details=details, least_cpu_ratio=500)


def _parse(text: str) -> Any:
    return parse_message(text, find_groups=False)


def _rate(read: Callable[[Any], Any], items: list[Any]) -> Rate:
    began, used = time.perf_counter(), time.process_time()
    for one in items:
        read(one)
    return Rate(len(items) / (time.perf_counter() - began), 1e6 * (time.process_time() - used) / len(items))
