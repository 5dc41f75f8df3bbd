"""A load generator of its own process that asks at fixed times, whether or not the answers to earlier requests have come.

``python -m bench.open_loop PORT RATE SECONDS`` reads the requests (JSON list of base64) from stdin and prints one JSON value: requests
asked, failures (any status but 2xx, lost connections, no answer within :data:`PATIENCE`), decisions and latencies in milliseconds. A
latency counts from the time at which the request was due, so a service that stops for a second is not measured by one request alone.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.done import decisions_in

HOST, PATIENCE = "127.0.0.1", 30.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def start(port: int, requests: Sequence[bytes], *, rate: float, seconds: float) -> subprocess.Popen[str]:
    """Begins asking, in a process of its own."""
    command = [sys.executable, "-m", "bench.open_loop", str(port), str(rate), str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps([base64.b64encode(one).decode() for one in requests]))
    process.stdin.close()
    return process


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it found, once it is done."""
    assert process.stdout is not None
    text = process.stdout.read()
    if process.wait() != 0:
        raise RuntimeError("the load generator failed")
    found: dict[str, Any] = json.loads(text)
    return found


class _Loop:
    """Every connection is kept for the next request; a new one is opened when all are busy."""

    def __init__(self, port: int) -> None:
        self.port, self.idle = port, list[Connection]()
        self.latencies: list[float] = []
        self.failures, self.decisions = 0, Counter[str]()

    async def ask(self, request: bytes, due: float) -> None:
        try:
            ok = await asyncio.wait_for(self._once(request), PATIENCE)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            ok = False
        self.failures += not ok
        self.latencies.append(time.perf_counter() - due)

    async def _once(self, request: bytes) -> bool:
        reader, writer = self._kept() or await asyncio.open_connection(HOST, self.port)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            self.decisions += decisions_in(await reader.readexactly(_length(head)))
        except BaseException:
            writer.close()
            raise
        self.idle.append((reader, writer))
        return head[9:10] == b"2"

    def _kept(self) -> Connection | None:
        """The connection used last that is still open. The service closes those that were idle for some seconds."""
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    def found(self) -> dict[str, Any]:
        ordered = sorted(self.latencies)
        shares = {name: 1000 * ordered[int(len(ordered) * share)] for name, share in (("p50", 0.5), ("p99", 0.99))}
        counts = {"requests": len(ordered), "failures": self.failures, "decisions": self.decisions}
        return {**counts, "most": 1000 * ordered[-1], **shares}


def _length(head: bytes) -> int:
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next((int(value) for name, _, value in lines if name == b"content-length"), 0)


async def _run(port: int, rate: float, seconds: float, requests: list[bytes]) -> dict[str, Any]:
    loop, began = _Loop(port), time.perf_counter()
    async with asyncio.TaskGroup() as asking:
        for number in range(round(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(due - time.perf_counter())
            asking.create_task(loop.ask(requests[number % len(requests)], due))
    return loop.found()


if __name__ == "__main__":
    wanted = [base64.b64decode(one) for one in json.load(sys.stdin)]
    print(json.dumps(asyncio.run(_run(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), wanted))))
