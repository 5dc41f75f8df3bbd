"""A load generator as a separate process: n clients that each keep one connection busy with POST requests.

``python -m bench.load_http PORT CLIENTS SECONDS`` reads the requests (JSON list of base64) from stdin and prints one JSON
value: counted requests, seconds, rate, all answered ones with their decisions, failures (any status except 2xx, and lost connections) and
latencies in ms.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from bench.done import decisions_in

WARM_UP = 0.2  # the share of time that is not counted
HOST = "127.0.0.1"


def request(path: str, body: bytes, key: str, kind: str = "application/json") -> bytes:
    """One HTTP/1.1 request."""
    return head(path, len(body), key, kind) + body


def head(path: str, length: int, key: str, kind: str) -> bytes:
    """The head of a request with a body of that length."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def drive(port: int, requests: Sequence[bytes], *, clients: int, seconds: float) -> dict[str, Any]:
    """Runs the load in a separate process."""
    encoded = json.dumps([base64.b64encode(one).decode() for one in requests])
    command = [sys.executable, "-m", "bench.load_http", str(port), str(clients), str(seconds)]
    done = subprocess.run(command, input=encoded, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class _Tally:
    """Counts the responses between the warm-up and the end."""

    def __init__(self, seconds: float) -> None:
        self.start = time.perf_counter() + seconds * WARM_UP
        self.end = time.perf_counter() + seconds
        self.latencies: list[float] = []
        self.answered, self.failures, self.last = 0, 0, self.start
        self.decisions = Counter[str]()

    @property
    def over(self) -> bool:
        return time.perf_counter() >= self.end

    def count(self, began: float, answer: bytes) -> None:
        now = time.perf_counter()
        self.answered += 1
        self.decisions += decisions_in(answer)
        if answer[9:10] != b"2":
            self.failures += 1
        elif began >= self.start:
            self.latencies.append(now - began)
            self.last = now

    def result(self) -> dict[str, Any]:
        ordered = sorted(self.latencies)
        shares = {name: 1000 * ordered[int(len(ordered) * share)] for name, share in (("p50", 0.5), ("p99", 0.99)) if ordered}
        seconds = self.last - self.start
        rate = len(ordered) / seconds if ordered else 0.0
        counts = {"answered": self.answered, "failures": self.failures, "decisions": self.decisions}
        return {"requests": len(ordered), "seconds": seconds, "rate": rate, **counts, **shares}


class _Client(asyncio.Protocol):
    """Sends the next request when the last response is complete; disconnects when the time is over."""

    def __init__(self, requests: Iterator[bytes], tally: _Tally) -> None:
        self._requests, self._tally = requests, tally
        self._transport: Any = None
        self._began = 0.0
        self._answer, self._missing = bytearray(), -1  # bytes that are still to come; below 0 until the headers tell
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._missing < 0:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._missing = _length(bytes(self._answer[:end])) - (len(self._answer) - end - 4)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._tally.count(self._began, bytes(self._answer))
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._tally.over:
            self._tally.failures += 1
        self.done.set_result(None)

    def _send(self) -> None:
        self._answer.clear()
        self._missing = -1
        if self._tally.over:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(next(self._requests))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _load(port: int, clients: int, seconds: float, requests: list[bytes]) -> dict[str, Any]:
    tally = _Tally(seconds)
    loop = asyncio.get_running_loop()
    running = []
    for client in range(clients):
        begin = client * len(requests) // clients  # each client starts elsewhere, so that they do not all request the same patient
        own = cycle(requests[begin:] + requests[:begin])
        _, protocol = await loop.create_connection(lambda own=own: _Client(own, tally), HOST, port)  # type: ignore[misc]
        running.append(protocol.done)
    await asyncio.gather(*running)
    return tally.result()


if __name__ == "__main__":
    wanted = [base64.b64decode(one) for one in json.load(sys.stdin)]
    print(json.dumps(asyncio.run(_load(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), wanted))))
