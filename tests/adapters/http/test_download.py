"""Answers of an EMR's server that are too large or too slow: over real sockets, for each client and the token endpoints."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.base import AdapterError, Fetch, SourceSettings
from adapters.fhir.bulk import ndjson
from adapters.fhir.bulk.download import FileDownloads
from adapters.fhir.bulk.manifest import ExportFile
from adapters.fhir.client import FhirClient
from adapters.http.auth import Static
from adapters.http.download import DownloadLimits, TooLarge
from adapters.registry import build
from adapters.rest.client import JsonClient
from store.db.database import Database
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from sync.config import Backoff
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.adapters.fhir.server import Answer, Scripted, serving
from tests.adapters.fhir.test_auth import pem
from tests.factories import CLINIC, FEED, clinic, sealing
from tests.fakes import FakeClock

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MIB = 1024 * 1024
SMALL = DownloadLimits(max_page_bytes=MIB, max_file_bytes=2 * MIB, max_line_bytes=4096, page_deadline=30, file_deadline=30)
GZIPPED = {"Content-Encoding": "gzip"}


BOMB = gzip.compress(b'{"resourceType":"Bundle"' + b" " * 100 * MIB + b"}", 1)
"""Blanks, which take little on the wire."""


def a_file(root: str) -> ExportFile:
    return ExportFile("output", "Patient", f"{root}/file", None, token=False, number=1)


def always(answer: Answer) -> Callable[[Scripted, str], Answer]:
    return lambda server, place: answer


@contextmanager
def fhir(base_url: str, limits: DownloadLimits = SMALL) -> Iterator[FhirClient]:
    client = FhirClient(base_url, Static({}), clock=lambda: NOW, sleep=lambda _: None, download=limits)
    with closing(client):
        yield client


def highest(read: Callable[[], Any]) -> int:
    """The most memory in bytes that this process holds meanwhile."""
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_page_that_inflates_beyond_the_limit_is_given_up_on_and_takes_no_more_memory_than_that() -> None:
    body = BOMB
    with serving(always((200, GZIPPED, body))) as server, fhir(server.base_url) as client:
        assert highest(lambda: list(client.search("Patient", {}))) < 4 * MIB + 2 * len(body)
        with pytest.raises(AdapterError, match=r"an answer is larger than 1048576 bytes: .* raise download\.max_page_bytes") as caught:
            list(client.search("Patient", {}))
    assert caught.value.permanent


def test_a_page_within_the_limit_is_read_whole_whatever_its_encoding() -> None:
    page = json.dumps({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "x" * 900_000}}]}).encode()
    for headers, body in (({}, page), (GZIPPED, gzip.compress(page))):
        with serving(always((200, headers, body))) as server, fhir(server.base_url) as client:
            (found,) = client.search("Patient", {})
            assert len(found.page.resources[0]) > 900_000


def test_json_apis_have_the_same_limit() -> None:
    body = BOMB
    with serving(always((200, GZIPPED, body))) as server:
        client = JsonClient(server.root, Static({}), clock=lambda: NOW, sleep=lambda _: None, download=SMALL)
        with closing(client):
            assert highest(lambda: client.get("patients")) < 4 * MIB + 2 * len(body)
            with pytest.raises(AdapterError, match=r"download\.max_page_bytes"):
                client.get("patients")


def test_a_file_of_an_export_has_a_limit_however_it_is_compressed() -> None:
    line = b'{"resourceType":"Patient","id":"1"}\n'
    many = line * (3 * MIB // len(line))
    for headers, body in (({}, many), (GZIPPED, gzip.compress(many)), ({}, gzip.compress(many))):
        with serving(always((200, headers, body))) as server, fhir(server.base_url) as client:
            transfer = FileDownloads(client)
            with pytest.raises(TooLarge, match=r"an export file is larger than 2097152 bytes: .*download\.max_file_bytes"):
                transfer.fetch(a_file(server.base_url))


def test_a_line_of_an_export_has_a_limit() -> None:
    body = b'{"resourceType":"Patient","id":"1"}\n{"resourceType":"Patient","id":"' + b"x" * 5000 + b'"}\n'
    with serving(always((200, {}, body))) as server:
        with fhir(server.base_url) as client, pytest.raises(TooLarge, match=r"download\.max_line_bytes"):
            FileDownloads(client).fetch(a_file(server.base_url))
        with fhir(server.base_url, replace(SMALL, max_line_bytes=8192)) as client:
            fetched = FileDownloads(client).fetch(a_file(server.base_url))
            with fetched.content:
                assert [number for number, _ in fetched.lines()] == [1, 2]


def test_a_line_within_the_limit_is_a_line(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b'{"resourceType":"Patient"}\n' * 3)
    with path.open("rb") as content:
        assert len(list(ndjson.lines(content, replace(SMALL, max_line_bytes=27)))) == 3
        assert ndjson.defect(content, 3, replace(SMALL, max_file_bytes=81)) == ""


@pytest.mark.parametrize("adapter", ["fhir.rest", "rest.json"])
def test_a_token_endpoint_has_a_limit(adapter: str) -> None:
    body = BOMB

    def script(server: Scripted, place: str) -> Answer:
        known = {"token_endpoint": f"{server.root}/token"}
        return (200, {}, json.dumps(known).encode()) if "smart-configuration" in place else (200, GZIPPED, body)

    with serving(script) as server:
        fhir_auth = {
            "kind": "smart_backend",
            "client_id": "us",
            "private_key": pem("RS384"),
            "alg": "RS384",
            "token_url": f"{server.root}/token",
        }
        rest_auth = {"kind": "oauth2", "token_url": f"{server.root}/token", "client_id": "us", "client_secret": "secret"}
        options = {"base_url": server.base_url, "auth": fhir_auth if adapter == "fhir.rest" else rest_auth}
        options |= {} if adapter == "fhir.rest" else {"list": {"path": "patients"}, "record": {"id": "id"}}
        found: Any = build(SourceSettings("clinic", adapter, options=options))
        with pytest.raises(TooLarge, match="the response of the token endpoint is larger than 1048576 bytes"):
            list(found.fetch(Fetch()))


def test_of_an_error_only_the_beginning_is_read() -> None:
    with (
        serving(always((400, GZIPPED, BOMB))) as server,
        fhir(server.base_url) as client,
        pytest.raises(AdapterError, match="the server returned 400"),
    ):
        client.read("Patient", "1")


# Servers that drip: each byte comes in time, all of them never do.


@contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """A server that answers with this head, and then a byte now and then for as long as somebody listens."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                try:
                    connection.recv(65536)
                    connection.sendall(head)
                    while not stop.wait(0.02):
                        connection.sendall(b"1\r\n \r\n" if b"chunked" in head else b" ")
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        thread.join()
        listener.close()


HEADS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",
]
SHORT = replace(SMALL, page_deadline=0.05, file_deadline=0.05)


@pytest.mark.parametrize("head", HEADS, ids=["length", "chunked", "until it closes"])
def test_a_server_that_drips_is_listened_to_until_the_deadline(head: bytes) -> None:
    with dripping(head) as root:
        with fhir(root, SHORT) as client:
            with pytest.raises(AdapterError, match=r"an answer did not arrive within 0\.05 s \(download\.page_deadline\)") as caught:
                client.read("Patient", "1")
            assert not caught.value.permanent
            with pytest.raises(AdapterError, match=r"an export file did not arrive within 0\.05 s \(download\.file_deadline\)"):
                FileDownloads(client).fetch(a_file(root))
        api = JsonClient(root, Static({}), clock=lambda: NOW, sleep=lambda _: None, download=SHORT)
        with closing(api), pytest.raises(AdapterError, match=r"download\.page_deadline"):
            api.get("patients")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["in its status", "in its headers"])
def test_a_server_that_drips_the_beginning_of_its_answer_is_as_one_that_is_silent(head: bytes) -> None:
    with dripping(head) as root:
        client = FhirClient(root, Static({}), clock=lambda: NOW, sleep=lambda _: None, timeout=0.05)
        with closing(client), pytest.raises(AdapterError, match="could not be reached") as caught:
            client.read("Patient", "1")
        assert not caught.value.permanent


def test_a_run_that_meets_a_limit_keeps_its_cursor_and_says_which_setting(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)
    store, journal = Preferences(database, {CLINIC: clinic()}), Journal(database, sealing())
    engine = Engine(database, store, journal, FakeClock(), Metrics(), Backoff())
    pages = [(200, {}, json.dumps({"resourceType": "Bundle", "entry": []}).encode())]

    def script(server: Scripted, place: str) -> Answer:
        return (404, {}, b"") if place == "metadata" else pages[-1]

    with serving(script) as server:
        options = {"base_url": server.base_url, "read": "full", "download": {"max_page_bytes": MIB}}
        found: Any = build(SourceSettings(FEED, "fhir.rest", options=options))
        assert engine.run(Lane(FEED, CLINIC), found, Fetch(), "full").status == "done"
        cursor = engine.journal.cursor(FEED)
        pages.append((200, GZIPPED, BOMB))
        run = engine.run(Lane(FEED, CLINIC), found, Fetch(), "full")
    assert run.status == "failed"
    assert "action needed: an answer is larger than 1048576 bytes" in (run.error or "")
    assert engine.journal.cursor(FEED) == cursor
    database.close()
