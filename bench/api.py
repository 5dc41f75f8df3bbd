"""A process that serves the API: ``python -m bench.api CONFIG PORT``, until its standard input ends.

It has the real API and store, and the floor on the same server: a bare ASGI application that reads the body and answers as many bytes as
a decision (``/bench/bare/BYTES``).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from adapters.address import Address
from bench import asks, site
from bench.databases import Databases
from bench.receiver import wait_for
from store.web.app import create_app
from sync import pace
from sync.config.loading import load
from sync.roles import WebRole
from sync.runtime import Runtime

BARE = "/bench/bare/"
HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Server(NamedTuple):
    """Its port, its process id, and a sender's key."""

    port: int
    pid: int
    key: str


@contextmanager
def answering(databases: Databases, kind: str, patients: int) -> Iterator[Server]:
    """Runs the API with a store of that many patients."""
    with databases.fresh(kind) as url, asks.folder() as folder:
        config = site.write(folder, url)
        key = asks.fill(config, patients)
        port = site.free_port()
        with subprocess.Popen([sys.executable, "-m", "bench.api", str(config), str(port)], stdin=subprocess.PIPE) as process:
            wait_for(port, process)
            yield Server(port, process.pid, key)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def with_floor(app: Any) -> Any:
    """The application, and beside it the bare one."""

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(BARE):
            await app(scope, receive, send)
            return
        while (await receive())["more_body"]:
            pass
        await send(
            {"type": "http.response.start", "status": 200, "headers": [*HEADERS, (b"content-length", scope["path"][len(BARE) :].encode())]}
        )
        await send({"type": "http.response.body", "body": bytes(int(scope["path"][len(BARE) :]))})

    return answered


def _fail(why: str) -> None:
    sys.exit(why)


def main() -> None:
    pace.let_answers_pass()
    runtime = Runtime.open(load(Path(sys.argv[1]), {}))
    app = create_app(runtime.preferences, runtime.journal, runtime.keys)
    web = WebRole(with_floor(app), replace(runtime.settings, listen=Address("127.0.0.1", int(sys.argv[2]))), _fail, lambda: None)
    web.start()
    sys.stdin.read()
    web.stop()
    runtime.close()


if __name__ == "__main__":
    main()
