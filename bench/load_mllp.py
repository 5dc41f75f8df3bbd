"""A load generator as a separate process: sends ADT messages of the rehearsal population and waits for every acknowledgment.

``python -m bench.load_mllp PORT CONNECTIONS MESSAGES REVISION [BAD_EVERY [CA]]`` prints one JSON value when all are answered.
With BAD_EVERY above 0, an unreadable frame is sent before every message with that number, and the connection is lost. With CA, the file of
a certificate to trust, the connections use TLS.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.rehearsal.chart import ChartEntry
from adapters.rehearsal.hl7 import message
from adapters.rehearsal.mllp_sender import MllpSender
from adapters.rehearsal.population import Population

BAD = b"\x1cGET / HTTP/1.1\r\n\r\n"  # an empty frame, and bytes outside of any
START = datetime(2026, 11, 1, 8, tzinfo=UTC)


def drive(port: int, *, connections: int, messages: int, revision: int, bad_every: int = 0, ca: str = "") -> dict[str, Any]:
    """Runs the load in a separate process; messages are built before the clock starts."""
    command = [sys.executable, "-m", "bench.load_mllp", str(port), str(connections), str(messages), str(revision), str(bad_every), ca]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def feed(count: int, *, revision: int) -> Iterator[bytes]:
    """An A08 for every patient at a revision, an hour after the previous revision."""
    population, updated = Population(11, count), START + timedelta(hours=revision)
    return (message(ChartEntry(population.person(index, revision), updated)) for index in range(count))


def spoiled(messages: Iterable[bytes], every: int) -> Iterator[bytes]:
    """The messages, with a bad frame before every ``every``-th one."""
    for number, good in enumerate(messages, 1):
        if every and number % every == 0:
            yield BAD
        yield good


if __name__ == "__main__":
    port, connections, count, revision, bad_every = (int(argument) for argument in (*sys.argv[1:], "0")[:5])
    ca = sys.argv[6] if len(sys.argv) > 6 else ""
    tls = ssl.create_default_context(cafile=ca) if ca else None
    sender = MllpSender("127.0.0.1", port, connections=connections, attempts=1 if bad_every else 2, tls=tls)
    report = sender.send(list(spoiled(feed(count, revision=revision), bad_every)))
    print(
        json.dumps(
            {
                "rate": report.accepted / report.seconds,
                "accepted": report.accepted,
                "sent": report.sent,
                "codes": report.codes,
                "resent": report.resent,
                "given_up": report.given_up,
                "connections": report.reconnected,
            }
        )
    )
