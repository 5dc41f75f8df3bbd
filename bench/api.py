"""A process that serves the API: ``python -m bench.api CONFIG PORT``, until its standard input ends.

It has the real API and store, and an empty route as the floor: same server, same framework, a body read and a few bytes answered.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from adapters.address import Address
from bench import asks, site
from bench.databases import Databases
from bench.receiver import wait_for
from store.web.app import create_app
from sync.config.loading import load
from sync.roles import WebRole
from sync.runtime import Runtime

EMPTY = "/bench/empty"


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


async def _empty(request: Request[Any, Any, Any]) -> ASGIResponse:
    await request.body()
    return ASGIResponse(body=b"{}", media_type="application/json")


def _fail(why: str) -> None:
    sys.exit(why)


def main() -> None:
    runtime = Runtime.open(load(Path(sys.argv[1]), {}))
    app = create_app(runtime.preferences, runtime.journal, runtime.keys)
    app.register(HTTPRouteHandler(EMPTY, http_method="POST", status_code=200)(_empty))
    web = WebRole(app, replace(runtime.settings, listen=Address("127.0.0.1", int(sys.argv[2]))), _fail)
    web.start()
    sys.stdin.read()
    web.stop()
    runtime.close()


if __name__ == "__main__":
    main()
