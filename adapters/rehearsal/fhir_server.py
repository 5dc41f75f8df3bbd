"""The FHIR endpoint of the rehearsal EMR, on loopback only: R4 read and search of Patient, secured by SMART Backend Services.

It uses the HTTP server of the standard library with keep-alive and one thread per connection. Built by
:class:`adapters.rehearsal.emr.RehearsalEmr`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from ssl import SSLContext
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from adapters.rehearsal import resource
from adapters.rehearsal.bulk_pages import NDJSON, BulkPages, RehearsalReply, as_json, chunks
from adapters.rehearsal.chart import Chart
from adapters.rehearsal.export import ExportDesk
from adapters.rehearsal.faults import Fault, Faults
from adapters.rehearsal.search import BadSearch, Search, parse, resume
from adapters.rehearsal.token import ALGORITHMS, TokenDesk, TokenRefused
from adapters.rehearsal.written import Written

LOOPBACK = "127.0.0.1"
FHIR_JSON, JSON = "application/fhir+json", "application/json"
LARGEST_FORM = 64 * 1024
PAGE = "_page"
STATUS, FILES = "/export-status/", "/files/"
SEARCHES = (("_id", "token"), ("identifier", "token"))
LAST_UPDATED = ("_lastUpdated", "date")


@dataclass(frozen=True, slots=True)
class Clinic:
    """The data and the behaviour of the endpoint."""

    chart: Chart
    desk: TokenDesk
    faults: Faults
    exports: ExportDesk
    written: Written
    by_last_updated: bool = True
    open_files: bool = False
    exhausted: list[int] = field(default_factory=list)  # one entry per link beyond the last page, so that each link is different


class FhirServer:
    """The server. Port 0 selects a free port. ``start`` returns at once; ``stop`` closes and waits. With ``tls`` it accepts only HTTPS."""

    def __init__(self, clinic: Clinic, port: int = 0, tls: SSLContext | None = None) -> None:
        self.stopping = Event()

        class Handler(_Handler):
            """The request handler with the addresses of this server."""

        Handler.clinic, Handler.stopping = clinic, self.stopping
        self._server = _Server((LOOPBACK, port), Handler)
        if tls is not None:
            # No handshake here: it would block the accepting thread. The thread of the connection does it.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.root = f"{'http' if tls is None else 'https'}://{LOOPBACK}:{self._server.server_address[1]}"
        self.base_url, self.token_url = f"{self.root}/fhir/r4", f"{self.root}/token"
        Handler.base_url, Handler.token_url = self.base_url, self.token_url
        Handler.pages = BulkPages(clinic.exports, self.root, self.base_url, clinic.open_files)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="rehearsal-fhir", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.close_connections()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Tracks its open connections, so that ``stop`` also closes those that a client keeps alive."""

    daemon_threads = True
    block_on_close = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket] = set()
        super().__init__(address, handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that close their connection early."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "RehearsalEmr", ""
    disable_nagle_algorithm = True
    timeout = 60
    clinic: Clinic
    stopping: Event
    base_url: str
    token_url: str
    pages: BulkPages

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if (page := self._bulk(url.path, url.query)) is not None:
            return self._guarded(lambda: self._reply(page()), open_to_all=self.pages.open_files and url.path.startswith(FILES))
        if url.path == "/fhir/r4/metadata" and not self.clinic.faults.no_metadata:
            return self._send(200, resource.capability(token_url=self.token_url, search=self._searches()))
        if url.path == "/fhir/r4/.well-known/smart-configuration":
            return self._send(200, self._smart_configuration(), JSON)
        if url.path == "/fhir/r4/Consent":
            return self._guarded(lambda: self._reply(self.clinic.written.search(dict(parse_qsl(url.query)))))
        if url.path == "/fhir/r4/Patient" or url.path.startswith("/fhir/r4/Patient/"):
            return self._guarded(lambda: self._patients(url.path.removeprefix("/fhir/r4/Patient").removeprefix("/"), url.query))
        self._refuse(404, "not-supported", "this server supports only Patient")

    def do_PUT(self) -> None:
        body, path = self._body(), urlsplit(self.path).path
        name = path.removeprefix("/fhir/r4/Patient/")
        if body is None or name == path:
            return self._refuse(404, "not-supported", "this server changes only Patients")
        self._guarded(lambda: self._write(lambda: self.clinic.written.put_patient(name, body, self.headers.get("If-Match", ""))))

    def _write(self, write: Callable[[], RehearsalReply]) -> None:
        """Writes, or refuses as planned. Status 0 writes and closes the connection without an answer."""
        refusals = self.clinic.written.refusals
        planned = refusals.pop(0) if refusals else None
        if planned:
            self.clinic.written.requests += 1
            return self._refuse(planned, "transient", "fault requested")
        reply = write()
        if planned is None:
            return self._reply(reply)
        self.close_connection = True

    def do_DELETE(self) -> None:
        path = urlsplit(self.path).path
        if not path.startswith(STATUS):
            return self.send_error(501)
        self._guarded(lambda: self._reply(self.pages.drop(path.removeprefix(STATUS))))

    def _bulk(self, path: str, query: str) -> Callable[[], RehearsalReply] | None:
        """The function that answers a bulk export request; ``None`` for other paths."""
        below = path.removeprefix("/fhir/r4/")
        if path.startswith(STATUS):
            return lambda: self.pages.status(path.removeprefix(STATUS))
        if path.startswith(FILES) and path.count("/") == 3:
            return lambda: self.pages.file(*path.removeprefix(FILES).split("/"))
        if _is_export(below):
            return lambda: self.pages.kick_off(below, dict(parse_qsl(query)), self.headers)
        return (lambda: self.pages.group(below.removeprefix("Group/"))) if below.startswith("Group/") else None

    def do_POST(self) -> None:
        body, path = self._body(), urlsplit(self.path).path
        if body is None:
            return self._refuse(413, "too-long", "the form is too long or has no length")
        below = path.removeprefix("/fhir/r4/")
        if below != path and _is_export(below):
            return self._guarded(lambda: self._reply(self.pages.kick_off_posted(below, body, self.headers)))
        if path == "/fhir/r4/Consent":
            once = self.headers.get("If-None-Exist", "")
            return self._guarded(lambda: self._write(lambda: self.clinic.written.post_consent(body, once)))
        if path != "/token":
            return self._refuse(404, "not-supported", "this server has no such operation")
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        try:
            self._send(200, self.clinic.desk.issue(form, self.token_url), JSON, (("Cache-Control", "no-store"),))
        except TokenRefused as refused:
            self._send(400, {"error": refused.code, "error_description": str(refused)}, JSON)

    def _guarded(self, answer: Callable[[], None], *, open_to_all: bool = False) -> None:
        fault = self.clinic.faults.next()
        if fault is not None and self._applied(fault):
            return
        token = self.headers.get("Authorization")
        if open_to_all and token is not None:
            return self._refuse(400, "security", "this storage does not accept a token: its URL is the key")
        if not open_to_all and not self.clinic.desk.is_valid(token):
            return self._refuse(401, "login", "a valid access token is required", (("WWW-Authenticate", "Bearer"),))
        answer()

    def _reply(self, reply: RehearsalReply) -> None:
        """Sends plain data as JSON, or lines as a chunked body, compressed if the client accepts it."""
        if reply.kind != NDJSON:
            return self._send(reply.status, reply.body, reply.kind, reply.headers)
        zipped = "gzip" in (self.headers.get("Accept-Encoding") or "")
        self.send_response(reply.status)
        encoding = (("Content-Encoding", "gzip"),) if zipped else ()
        for name, value in (("Content-Type", NDJSON), ("Transfer-Encoding", "chunked"), *encoding):
            self.send_header(name, value)
        self.end_headers()
        for chunk in chunks(reply.body, zipped=zipped):
            self.wfile.write(chunk)

    def _patients(self, identifier: str, query: str) -> None:
        if identifier:
            return self._read(identifier)
        try:
            self._search(parse_qsl(query, keep_blank_values=True))
        except BadSearch as error:
            self._refuse(400, "invalid", str(error))

    def _read(self, identifier: str) -> None:
        index = resource.index_of(identifier)
        if index is not None and self.clinic.chart.is_removed(index):
            return self._refuse(410, "deleted", "this patient's record was deleted")
        if index is None or index >= self.clinic.chart.population.size:
            return self._refuse(404, "not-found", "no such patient")
        if (status := self.clinic.faults.refused_reads.get(index)) is not None:
            return self._refuse(status, "exception", "this patient's record cannot be read")
        entry = self.clinic.chart.entry(index)
        self._send(200, resource.patient(entry), headers=(("ETag", f'W/"{entry.version}"'),))

    def _search(self, parameters: list[tuple[str, str]]) -> None:
        chart = self.clinic.chart
        page = next((value for name, value in parameters if name == PAGE), None)
        search = resume(page) if page is not None else parse(parameters, by_last_updated=self.clinic.by_last_updated)
        indexes, following = search.page(chart)
        following, faults = self._next_start(following), self.clinic.faults
        links = {"self": self._link(search)}
        if following is not None:
            links["next"] = self._link(replace(search, start=following))
        if following is not None and faults.break_next_links:
            links["next"] = f"{self.base_url}/Patient?{PAGE}=broken"
        entries = (resource.patient(chart.entry(index)) for index in indexes)
        total = search.total(chart) + faults.announce_more
        bundle = resource.searchset(entries, base_url=self.base_url, total=total, links=links)
        if faults.take("error-entry"):
            bundle.setdefault("entry", []).append({"resource": resource.outcome("exception", "a shard did not answer")})
        self._send(200, bundle)

    def _next_start(self, following: int | None) -> int | None:
        """The start of the next page, changed by the planned faults."""
        faults, size = self.clinic.faults, self.clinic.chart.population.size
        if following is None:
            if not faults.endless_links:
                return None
            self.clinic.exhausted.append(size)
            return size + len(self.clinic.exhausted)
        return following + 1 if faults.take("slipped") else following

    def _link(self, search: Search) -> str:
        return f"{self.base_url}/Patient?{PAGE}={search.token()}"

    def _applied(self, fault: Fault) -> bool:
        """Applies a fault. Returns whether it was the response."""
        if fault.delay:
            self.stopping.wait(fault.delay)
        if fault.status == 200:
            return False
        if fault.status:
            self._refuse(fault.status, "transient", "fault requested", fault.headers)
            return True
        self.send_response(200)
        self.send_header("Content-Type", FHIR_JSON)
        self.send_header("Content-Length", "4096")
        self.end_headers()
        self.wfile.write(b'{"resourceType": "Bundle", "entry": [{')
        self.close_connection = True
        return True

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST_FORM:
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def _searches(self) -> tuple[tuple[str, str], ...]:
        return (*SEARCHES, LAST_UPDATED) if self.clinic.by_last_updated else SEARCHES

    def _smart_configuration(self) -> dict[str, Any]:
        return {
            "token_endpoint": self.token_url,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "grant_types_supported": ["client_credentials"],
            "scopes_supported": ["system/Patient.rs", "system/Patient.read"],
            "capabilities": ["client-confidential-asymmetric", "permission-v2"],
        }

    def _refuse(self, status: int, code: str, diagnostics: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self._send(status, resource.outcome(code, diagnostics), headers=headers)

    def _send(self, status: int, body: Any, kind: str = FHIR_JSON, headers: tuple[tuple[str, str], ...] = ()) -> None:
        marked = self.clinic.faults.byte_order_mark and body.get("resourceType") == "Bundle"
        data = (b"\xef\xbb\xbf" if marked else b"") + as_json(body)
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers errors that the standard library would send as HTML: an invalid request, an unsupported method."""
        self.close_connection = True
        self._refuse(code, "not-supported" if code == 501 else "invalid", "the request is invalid or its method is not supported")

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header follows the EMR's clock, so that a client's cursor and ``meta.lastUpdated`` agree."""
        return format_datetime(self.clinic.chart.clock().astimezone(UTC), usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, because request lines contain identifiers."""


def _is_export(below: str) -> bool:
    """Whether a path below the endpoint is a kick-off request."""
    return below in ("$export", "Patient/$export") or (below.startswith("Group/") and below.endswith("/$export") and below.count("/") == 2)
