"""One small EMR that can be read in every way: FHIR searches, a FHIR group member by member, bulk exports, a JSON list. Loopback only.

The test plans its faults and sets both its clock and ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from adapters.base import SourceSettings
from adapters.fhir.bulk import job
from adapters.fhir.bulk.adapter import BulkAdapter
from adapters.fhir.rest import RestAdapter
from adapters.rest.rest import JsonAdapter

DNC = "https://small.example/dnc"
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
PAGE = 3
NAMES = [f"p{number}" for number in range(1, 9)]
WAYS = ("fhir.rest", "fhir.bulk", "crawl", "rest.json")


class SmallEmr:
    """``patients``: id -> (refuses, last change). ``during`` is called once, after the first page, member or file has been sent.

    ``ahead`` is how far the EMR's clock is ahead of ours; every response takes ``pace``. ``announced`` records more than exist are
    promised; ``error`` replaces one record, ``unreadable`` members answer 500. Both happen ``times`` times.
    """

    def __init__(self, *names: str) -> None:
        self.now = START
        self.patients = {name: (True, START - timedelta(days=9)) for name in names}
        self.during: Callable[[], object] | None = None
        self.ahead, self.pace = timedelta(0), timedelta(0)
        self.announced, self.error, self.unreadable, self.times = 0, False, "", 10**9
        self.refusal: tuple[int, bytes] = (500, b"<html>")  # the response for an unreadable member
        self.outcome: dict[str, Any] = {"resource": outcome("error")}  # the outcome that is reported as an error
        self.spoiled: Callable[[bytes], bytes] = bytes  # how the file of an export is changed in transit
        self.group_page = b""  # the response instead of the group
        self.counted = True  # whether a manifest has the line count of each file
        self.stated = ""  # a transactionTime that differs from the server's clock
        self.endless = ""  # "empty" or "same": pages link to a next page forever
        self.requests: list[str] = []
        self.address = ""
        self.exported: datetime | None = None

    def clock(self) -> datetime:
        return self.now

    def change(self, name: str, *, refuses: bool) -> None:
        """Changes a patient's preference, at the EMR's current time."""
        self.patients[name] = (refuses, self.now + self.ahead)

    def clear_faults(self) -> None:
        """Clears all planned faults."""
        self.announced, self.error, self.unreadable, self.times, self.spoiled, self.endless = 0, False, "", 10**9, bytes, ""
        self.group_page = b""

    def adapter(self, way: str) -> Any:
        """An adapter for this EMR that does not wait between attempts."""
        if way == "rest.json":
            return JsonAdapter(
                _json_settings(f"{self.address}/api", {"next": "next"} if self.endless else {}), clock=self.clock, sleep=lambda _: None
            )
        options: dict[str, Any] = {"base_url": f"{self.address}/fhir", "page_size": PAGE}
        if way == "crawl":
            options |= {"read": "crawl", "group": "g"}
        made = SourceSettings(
            "clinic",
            way,
            authority="GENHOSP",
            identifier_type="MR",
            authorities={"https://small.example/mrn": "GENHOSP"},
            mapping={"do_not_contact": {"from": f"Patient.extension('{DNC}').valueBoolean", "values": {"true": "yes", "false": "no"}}},
            options=options,
            default_region="US",
        )
        return (BulkAdapter if way == "fhir.bulk" else RestAdapter)(made, clock=self.clock, sleep=lambda _: None)

    def answer(self, place: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """The response to one request."""
        self.requests.append(place)
        self.now += self.pace
        if place == "fhir/metadata":
            return _json(_capability())
        if place == "fhir/Group/g":
            return self._group()
        if place == "fhir/Patient/$export":
            self.exported = _since(query.get("_since"))
            return 202, {"Content-Location": f"{self.address}/status"}, b""
        if place == "status":
            return _json(self._manifest())
        answered = self._list(place, query)
        if self.during is not None:
            self.during, act = None, self.during
            act()
        return answered

    def _group(self) -> tuple[int, dict[str, str], bytes]:
        if self.group_page and self._strikes(True):
            return 200, {}, self.group_page
        count = {"quantity": len(self.patients) + self.announced} if self.announced else {}
        members = [{"entity": {"reference": f"Patient/{name}"}} for name in self.patients]
        return _json({"resourceType": "Group", "member": members} | count)

    def _list(self, place: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if place == "file":
            found = [self._fhir(name) for name in self._changed(self.exported)]
            lines = [*found, *([self.outcome["resource"]] if self._strikes(self.error) else [])]
            body = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
            return 200, {}, self.spoiled(body) if self._strikes(self.spoiled is not bytes) else body
        if place.startswith("fhir/Patient/"):
            name = place.rpartition("/")[2]
            if name in self.unreadable.split(",") and self._strikes(True):
                return self.refusal[0], {}, self.refusal[1]
            return _json(self._fhir(name))
        since, start = _since(query.get("_lastUpdated", "").removeprefix("ge") or query.get("since")), int(query.get("offset", "0"))
        names = self._changed(since)
        page, more = names[start : start + PAGE], start + PAGE < len(names)
        if self.endless and not more:
            page, more = (names[-PAGE:] if self.endless == "same" else names[start:]), True
        total = len(names) + (self.announced if self._strikes(bool(self.announced), last=not more) else 0)
        error = self._strikes(self.error, last=not more)
        return (
            _json(self._bundle(page, start + PAGE if more else None, total, query, error=error))
            if place == "fhir/Patient"
            else _json(
                {
                    "results": [self._record(name) for name in page],
                    "next": f"{self.address}/api/patients?offset={start + PAGE}" if more else None,
                    "total": total,
                    "errors": ["a shard did not answer"] if error else [],
                }
            )
        )

    def _strikes(self, planned: bool, *, last: bool = True) -> bool:
        """Whether a planned fault happens now. Each is counted at the last page."""
        strikes = planned and self.times > 0
        self.times -= strikes and last
        return strikes

    def _changed(self, since: datetime | None) -> list[str]:
        return [name for name, (_, at) in self.patients.items() if since is None or at >= since]

    def _manifest(self) -> dict[str, Any]:
        count = len(self._changed(self.exported)) + (self.announced if self._strikes(bool(self.announced)) else 0)
        time = self.stated or (self.now + self.ahead).isoformat()  # the end of the job, as some servers have it
        return {
            "transactionTime": time,
            "requiresAccessToken": False,
            "output": [{"type": "Patient", "url": f"{self.address}/file", **({"count": count} if self.counted else {})}],
        }

    def _bundle(self, names: list[str], following: int | None, total: int, query: dict[str, str], *, error: bool) -> dict[str, Any]:
        link = f"{self.address}/fhir/Patient?offset={following}&_lastUpdated={query.get('_lastUpdated', '')}"
        entries = [{"resource": self._fhir(name)} for name in names] + ([self.outcome] if error else [])
        return {
            "resourceType": "Bundle",
            "total": total,
            "entry": entries,
            "link": [{"relation": "next", "url": link}] if following else [],
        }

    def _fhir(self, name: str) -> dict[str, Any]:
        refuses, at = self.patients[name]
        return {
            "resourceType": "Patient",
            "id": name,
            "meta": {"lastUpdated": at.isoformat()},
            "identifier": [{"system": "https://small.example/mrn", "value": name, "type": {"coding": [{"code": "MR"}]}}],
            "extension": [{"url": DNC, "valueBoolean": refuses}],
        }

    def _record(self, name: str) -> dict[str, Any]:
        refuses, at = self.patients[name]
        return {"id": name, "dnc": refuses, "updated": at.isoformat()}


def outcome(severity: str) -> dict[str, Any]:
    """An OperationOutcome that quotes a patient."""
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "incomplete", "diagnostics": "p1 is ill"}]}


def reached(way: str, cursor: str | None) -> datetime | None:
    """The time up to which everything was read, by a cursor; ``None`` without one."""
    text = job.read(cursor).since if way == "fhir.bulk" else cursor or ""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _since(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace(" ", "+")) if text else None


def _json(answer: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps(answer).encode()


def _capability() -> dict[str, Any]:
    resource = {"type": "Patient", "searchParam": [{"name": "_lastUpdated"}]}
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": [resource]}]}


def _json_settings(address: str, more: dict[str, str]) -> SourceSettings:
    listed = {"path": "patients", "items": "results", "offset": "offset", "since": "since", "total": "total", "errors": "errors", **more}
    return SourceSettings(
        "clinic",
        "rest.json",
        authority="GENHOSP",
        identifier_type="MR",
        mapping={"do_not_contact": {"from": "dnc", "values": {"true": "yes", "false": "no"}}},
        options={"base_url": address, "page_size": PAGE, "list": listed, "record": {"id": "id", "patient_id": "id", "updated": "updated"}},
        default_region="US",
    )


@contextmanager
def serving(emr: SmallEmr) -> Iterator[SmallEmr]:
    """Serves the EMR; gives its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"emr": emr}))
    server.daemon_threads = True
    emr.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield emr
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    emr: SmallEmr

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        status, headers, body = self.emr.answer(
            parts.path.removeprefix("/").removeprefix("api/"), {name: values[0] for name, values in parse_qs(parts.query).items()}
        )
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self) -> None:
        self.do_GET()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.emr.now + self.emr.ahead, usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""
