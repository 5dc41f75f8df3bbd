"""A process that receives ADT messages: ``python -m bench.receiver CONFIG real|floor``, until its standard input ends.

For each line of its standard input it prints what became of the messages so far, by outcome, as JSON.

``real`` is the listener, engine and store as in the service. ``floor`` is the same listener with the same group commit, which only inserts
one row of raw bytes per message.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection

from adapters.base import Ingest, IngestResult, Payload
from adapters.hl7v2.mllp import MllpListener
from bench import site
from store.db.database import Database
from sync.config.loading import load
from sync.roles import ListenRole
from sync.runtime import Runtime

APPLIED = IngestResult("applied")
COUNTED = re.compile(rb'^emr_sync_records_total\{outcome="(\w+)",source="' + site.ADT.encode() + rb'"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(slots=True)
class Receiver:
    """A receiver in a separate process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def counts(self) -> Counter[str]:
        """What became of the messages so far, by outcome; the floor's are applied when their row is stored."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return Counter(json.loads(self.process.stdout.readline()))


@contextmanager
def receiving(folder: Path, url: str, mode: str, tls: Mapping[str, str] | None = None) -> Iterator[Receiver]:
    """Runs a receiver in a separate process."""
    port = site.free_port()
    config = site.write(folder, url, mllp=f"127.0.0.1:{port}", tls=tls)
    command = [sys.executable, "-m", "bench.receiver", str(config), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        wait_for(port, process)
        yield Receiver(port, process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


def wait_for(port: int, process: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    """Returns when the port accepts connections. ``RuntimeError`` if the process ends before."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"the process ended with exit code {process.returncode}") from None
            time.sleep(0.02)
    raise RuntimeError("nobody listens")


def _floor(database: Database) -> Ingest:
    kind = "BLOB" if database.is_sqlite else "BYTEA"
    mark = "?" if database.is_sqlite else "%s"
    key = "INTEGER PRIMARY KEY" if database.is_sqlite else "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    with database.write("floor") as transaction:
        transaction.exec_driver_sql(f"CREATE TABLE bench_messages (id {key}, body {kind} NOT NULL)")

    def ingest(payloads: Sequence[Payload]) -> Sequence[IngestResult]:
        with database.write("floor") as transaction:
            transaction.exec_driver_sql(f"INSERT INTO bench_messages (body) VALUES ({mark})", [(payload.body,) for payload in payloads])
        return [APPLIED] * len(payloads)

    return ingest


def _stored(database: Database) -> int:
    with database.read() as connection:
        return int(database.select(connection, "SELECT count(*) FROM bench_messages", [])[0][0])


def _fail(why: str) -> None:
    print(why, file=sys.stderr)


def main() -> None:
    runtime = Runtime.open(load(Path(sys.argv[1]), {}))
    feed = runtime.feed(site.ADT)
    listener = MllpListener(feed.settings)
    if sys.argv[2] == "real":
        role = ListenRole(runtime, feed, listener, _fail)
        role.start()
        for _ in sys.stdin:
            counted = COUNTED.findall(runtime.metrics.text())
            print(json.dumps({outcome.decode(): int(float(number)) for outcome, number in counted}), flush=True)
        role.stop()
    else:
        serving = threading.Thread(target=listener.serve, args=(_floor(runtime.database),))
        serving.start()
        for _ in sys.stdin:
            print(json.dumps({"applied": _stored(runtime.database)}), flush=True)
        listener.stop()
        serving.join()
    runtime.close()


if __name__ == "__main__":
    main()
