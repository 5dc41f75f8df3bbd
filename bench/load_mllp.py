"""A load generator of its own process: sends ADT messages of the rehearsal population and waits for every acknowledgement.

``python -m bench.load_mllp PORT CONNECTIONS MESSAGES REVISION`` prints one JSON value when all are answered.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.rehearsal.chart import Entry
from adapters.rehearsal.hl7 import message
from adapters.rehearsal.mllp_sender import MllpSender
from adapters.rehearsal.population import Population

START = datetime(2026, 11, 1, 8, tzinfo=UTC)


def drive(port: int, *, connections: int, messages: int, revision: int) -> dict[str, Any]:
    """Runs the load in a process of its own; messages are made before the clock starts."""
    command = [sys.executable, "-m", "bench.load_mllp", str(port), str(connections), str(messages), str(revision)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def feed(count: int, *, revision: int) -> Iterator[bytes]:
    """An A08 of everybody at a revision, an hour after the one before."""
    population, updated = Population(11, count), START + timedelta(hours=revision)
    return (message(Entry(population.person(index, revision), updated)) for index in range(count))


if __name__ == "__main__":
    port, connections, count, revision = (int(argument) for argument in sys.argv[1:5])
    report = MllpSender("127.0.0.1", port, connections=connections, attempts=2).send(list(feed(count, revision=revision)))
    print(
        json.dumps({"rate": report.rate, "accepted": report.accepted, "sent": report.sent, "codes": report.codes, "resent": report.resent})
    )
