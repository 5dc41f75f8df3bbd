"""A load generator as a separate process: one long request of NDJSON, sent while the response is read.

``python -m bench.load_ndjson PORT PATH KEY TIMES`` reads the lines from stdin, sends them TIMES times in one body and
prints one JSON value: status, lines answered with their decisions, and seconds from the first byte sent to the last one read.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from http.client import HTTPResponse
from typing import Any

from bench.done import decisions_in
from bench.load_http import HOST, head

CHUNK = 256 * 1024


def drive(port: int, path: str, key: str, lines: bytes, *, times: int) -> dict[str, Any]:
    """Runs the load in a separate process."""
    command = [sys.executable, "-m", "bench.load_ndjson", str(port), path, key, str(times)]
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, check=True, timeout=600)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _stream(port: int, path: str, key: str, lines: bytes, times: int) -> dict[str, Any]:
    with socket.create_connection((HOST, port)) as connection:
        began = time.perf_counter()
        sending = threading.Thread(
            target=_send, args=(connection, head(path, len(lines) * times, key, "application/x-ndjson"), lines, times)
        )
        sending.start()
        response = HTTPResponse(connection, method="POST")
        response.begin()
        answered, decisions, begun = 0, Counter[str](), b""
        while chunk := response.read(CHUNK):
            complete, end, begun = (begun + chunk).rpartition(b"\n")
            answered += complete.count(b"\n") + len(end)
            decisions += decisions_in(complete)
        sending.join()
        return {"status": response.status, "lines": answered, "decisions": decisions, "seconds": time.perf_counter() - began}


def _send(connection: socket.socket, opening: bytes, lines: bytes, times: int) -> None:
    connection.sendall(opening)
    for _ in range(times):
        connection.sendall(lines)


if __name__ == "__main__":
    port, path, key, times = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    print(json.dumps(_stream(port, path, key, sys.stdin.buffer.read(), times)))
