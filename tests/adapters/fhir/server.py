"""A FHIR server over a real socket that answers what a test wrote down. Loopback only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], bytes]
Script = Callable[["Scripted", str], Answer]


def found(*resources: Any, next_url: str | None = None, total: int | None = None) -> Answer:
    """A page of results."""
    links = [] if next_url is None else [{"relation": "next", "url": next_url}]
    entries = [{"resource": one, "search": {"mode": "match"}} for one in resources]
    bundle = {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries}
    return 200, {}, json.dumps(bundle | ({} if total is None else {"total": total})).encode()


def capability(*searches: str, release: str = "4.0.1") -> Answer:
    resource = {"type": "Patient", "searchParam": [{"name": name} for name in searches]}
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": release, "rest": [{"mode": "server", "resource": [resource]}]}
    return 200, {}, json.dumps(statement).encode()


class Scripted:
    """``asked`` are the paths and queries in the order they came; beside them ``tokens`` (the Authorization headers), ``accepts`` (Accept)
    and ``bodies``."""

    def __init__(self, script: Script) -> None:
        self.script, self.root = script, ""
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.accepts: list[str | None] = []
        self.bodies: list[bytes] = []

    @property
    def base_url(self) -> str:
        return f"{self.root}/fhir"


@contextmanager
def serving(script: Script) -> Iterator[Scripted]:
    scripted = Scripted(script)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"scripted": scripted}))
    server.daemon_threads = True
    scripted.root = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    scripted: Scripted

    def do_GET(self) -> None:
        self.scripted.asked.append(self.path)
        self.scripted.tokens.append(self.headers.get("Authorization"))
        self.scripted.accepts.append(self.headers.get("Accept"))
        self.scripted.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        parts = urlsplit(self.path)
        place = parts.path.removeprefix("/fhir/") + (f"?{parts.query}" if parts.query else "")
        status, headers, body = self.scripted.script(self.scripted, place)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
