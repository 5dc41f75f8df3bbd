"""Shared by both fuzzers: a time budget, reproducible random numbers, and the running program with its memory use.

``EMR_SYNC_FUZZ_SECONDS`` (2) is the time for each, ``EMR_SYNC_FUZZ_SEED`` (1) the seed. A failure prints the seed and the number of the
input: ``drawn(seed, number)`` reproduces its random numbers, independent of earlier inputs.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from random import Random

import psutil

from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.reader import read
from store.db.database import Database
from store.domain.lock import Grant
from store.users.api_keys import KEY_ROLES, ApiKeys
from tests.adapters.hl7v2.messages import adt
from tests.functional import program

SECONDS, SEED = float(os.environ.get("EMR_SYNC_FUZZ_SECONDS", "2")), int(os.environ.get("EMR_SYNC_FUZZ_SEED", "1"))
AT_LEAST = 40  # inputs, however slow the machine is
PATIENCE = 90.0  # seconds for one response, on a busy machine
MOST_GROWTH = 256 * 1024 * 1024  # bytes of memory beyond the use at startup
KINDS = {"sender with patients": ("sender", [Grant.PATIENTS]), **{str(role): (str(role), []) for role in KEY_ROLES}}


def drawn(seed: int, number: int) -> Random:
    """The random numbers of one input."""
    return Random(f"{seed}:{number}")


def inputs() -> Iterator[tuple[int, Random]]:
    """Input numbers with their random generators, until the time is over."""
    end, number = time.monotonic() + SECONDS, 0
    while number < AT_LEAST or time.monotonic() < end:
        yield number, drawn(SEED, number)
        number += 1


@dataclass
class Target:
    """The running program. ``counts`` has the inputs and responses, for the output."""

    process: psutil.Process
    mllp: int
    api: int
    database: str
    keys: dict[str, str]
    first: int
    peak: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, *names: str) -> None:
        """Adds to the counts, and checks the memory."""
        self.counts.update(names)
        self.peak = max(self.peak, self.process.memory_info().rss)

    def check_health(self, number: int) -> None:
        """Checks that a message is accepted and decided on, and that memory is within its limit."""
        mrn = f"WELL{number}"
        body = adt("A08", "ZCP|1|DNC", f3=f"{mrn}^^^GENHOSP^MR", header=header(mrn))
        with MllpClient("127.0.0.1", self.mllp, PATIENCE) as connection:
            assert read(connection.send(body)).field("MSA", 1) == "AA"
        ask = {"patient": {"value": mrn}, "message_type": "automation", "channels": ["sms"]}
        connection_ = HTTPConnection("127.0.0.1", self.api, timeout=PATIENCE)
        connection_.request("POST", "/v1/decisions", json.dumps(ask), {"authorization": f"Bearer {self.keys['sender']}"})
        answer = json.loads(connection_.getresponse().read())
        connection_.close()
        assert (answer["decision"], answer["reasons"]) == ("do_not_send", ["do_not_contact"])
        assert self.process.is_running()
        self.note()
        assert self.peak - self.first < MOST_GROWTH, f"{self.peak:,} bytes, {self.first:,} at first"

    def print_counts(self, what: str) -> None:
        """The counts, shown by ``pytest -s``."""
        shown = {**dict(sorted(self.counts.items())), "first_mb": self.first >> 20, "peak_mb": self.peak >> 20}
        print(f"{what}: seed {SEED}, {json.dumps(shown)}")


def header(control: str, event: str = "A08") -> str:
    """An MSH segment."""
    return f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|20261101083000+0000||ADT^{event}|{control}|P|2.5.1"


@contextmanager
def target(folder: Path, database: str) -> Iterator[Target]:
    """Runs ``emr-sync serve`` over the database, with a key of every kind."""
    mllp = program.free_port()
    configuration = program.hospital(database, mllp, max_message_bytes=200_000, answer_within="60s")
    configuration["rejections"] = {"rows_per_hour": 10_000_000, "bytes_per_hour": 2**40}
    api = int(configuration["api"]["listen"].rpartition(":")[2])
    opened = Database.open(database)
    keys = {
        kind: ApiKeys(opened).create(kind, "general-hospital", role, datetime.now(UTC), grants=grants)[1]
        for kind, (role, grants) in KINDS.items()
    }
    opened.close()
    with program.serving(program.written(folder, configuration), mllp) as process:
        program.ready(f"http://127.0.0.1:{api}")
        running = psutil.Process(process.pid)
        yield Target(running, mllp, api, database, keys, running.memory_info().rss)
        assert process.poll() is None, "the program has ended"
    log = (folder / "serve.log").read_text()
    assert "Traceback" not in log, log[-3000:]


def corrupted(draw: Random, raw: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """The bytes after a few random changes."""
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        at, length = draw.randrange(len(raw) + 1), draw.choice((1, 1, 2, 5, 20, 100))
        change = draw.randrange(5)
        if change == 0:
            raw = raw[:at] + draw.randbytes(length) + raw[at + length :]
        elif change == 1:
            raw = raw[:at] + raw[at + length :]
        elif change == 2:
            raw = raw[:at] + raw[at : at + length] * draw.choice((2, 3, 200)) + raw[at + length :]
        else:
            raw = raw[:at] + draw.choice(tokens) + raw[at:]
    return raw


def cut(draw: Random, wire: bytes) -> list[bytes]:
    """Splits the bytes as a network might."""
    places = sorted(draw.randrange(len(wire) + 1) for _ in range(draw.choice((0, 0, 1, 3, 10)))) if wire else []
    return [wire[start:end] for start, end in zip([0, *places], [*places, len(wire)], strict=True) if start < end]
