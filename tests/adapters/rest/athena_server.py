"""A practice of athenahealth over a real loopback socket: its changed-patients list takes away what it delivers.

An independent peer: it knows the API's documented behaviour and nothing of the adapter.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")
START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
CLIENT = b64encode(b"emr-sync:secret").decode()


class Practice:
    """Practice 195900. ``patients`` are the records, ``processed`` when each changed patient was delivered (``None``: not yet).

    Its clock goes on a second at every request. A ``forgetful`` one delivers the same for ever.
    ``asked`` are the paths and queries in the order they came.
    """

    def __init__(self) -> None:
        self.now, self.subscribed, self.forgetful = START, True, False
        self.patients: dict[str, dict[str, Any]] = {}
        self.processed: dict[str, datetime | None] = {}
        self.asked: list[str] = []
        self.tokens = 0
        self.lock = Lock()
        self.address = ""

    def change(self, number: str, **members: Any) -> None:
        """A patient is new or changed: it stands on the list again."""
        with self.lock:
            record = self.patients.get(number, {"patientid": number, "status": "active"})
            self.patients[number], self.processed[number] = record | members, None

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        with self.lock:
            self.now += timedelta(seconds=1)
            if path == "/v1/195900/patients/changed/subscription":
                return 200, {"status": "ACTIVE" if self.subscribed else "INACTIVE"}
            if path == "/v1/195900/patients/changed":
                return (200, self._changed(path, query)) if self.subscribed else (400, {"error": "not subscribed"})
            record = self.patients.get(path.removeprefix("/v1/195900/patients/"))
            return (200, [record]) if record else (404, {"error": "no such patient"})

    def _changed(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        start, end = query.get("showprocessedstartdatetime"), query.get("showprocessedenddatetime")
        if start and end:
            numbers = [one for one, at in self.processed.items() if at is not None and _time(start) <= at <= _time(end)]
        else:
            numbers = [one for one, at in self.processed.items() if at is None]
        offset, limit = int(query.get("offset", "0")), int(query.get("limit", "1500"))
        page = numbers[offset : offset + limit]
        if query.get("leaveunprocessed") != "true":
            self.processed |= dict.fromkeys(page, self.now)
            if self.forgetful:  # whoever was delivered stands at the end of the list again
                self.processed = dict.fromkeys([*numbers[limit:], *page])
        answer: dict[str, Any] = {"patients": [self.patients[one] for one in page], "totalcount": len(numbers)}
        if offset + limit < len(numbers) and query.get("leaveunprocessed") == "true":
            answer["next"] = f"{path}?{urlencode(query | {'offset': str(offset + limit)})}"
        return answer


@contextmanager
def practising() -> Iterator[Practice]:
    practice = Practice()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"practice": practice}))
    server.daemon_threads = True
    practice.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield practice
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%m/%d/%Y %H:%M:%S").replace(tzinfo=EASTERN)


class _Handler(BaseHTTPRequestHandler):
    practice: Practice

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if self.headers.get("Authorization") != f"Basic {CLIENT}" or form.get("grant_type") != ["client_credentials"]:
            self._send(401, {"error": "invalid_client"})
            return
        self.practice.tokens += 1
        self._send(200, {"access_token": f"token-{self.practice.tokens}", "expires_in": 3600})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self.headers.get("Authorization") != f"Bearer token-{self.practice.tokens}":
            self._send(401, {"error": "Not authorized"})
            return
        self.practice.asked.append(self.path.removeprefix("/v1/195900/"))
        self._send(*self.practice.answer(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}))

    def _send(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.practice.now.strftime("%a, %d %b %Y %H:%M:%S GMT")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
