"""Limits for one caller, cache headers, and the operations of a sender's key."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from store.web.api import batch_limits
from store.web.api.batch_limits import AT_ONCE, MOST_BYTES, MOST_COMMAS, MOST_IN_ARRAY, check_count
from store.web.http.problem import ProblemDetails
from tests.store.web.conftest import CELL, LINE, NOW, ROLES, Service

ASK = {"patient": {"value": "MRN1"}, "message_type": "automation", "channels": ["sms"]}
BATCH = "/v1/decisions/batch"
NDJSON = "application/x-ndjson"
LARGEST = {
    "patient": {"id": "a,b", "authority": "GENHOSP", "type": "MR", "value": "MRN1"},
    "message_type": "automation",
    "channels": ["sms", "voice", "email"] * 3 + ["sms"],
    "line": LINE,
    "topic": "results, reminders",
    "appointment": {"preferred_method": "sms", "preferred_phone": CELL},
    "at": "2026-11-02T10:42:00Z",
}
FEW = json.dumps([LARGEST] * 10).encode()
SENDERS_CALLS = {
    ("POST", "/v1/decisions"), ("POST", "/v1/decisions/batch"), ("POST", "/v1/sms-replies"), ("GET", "/v1/changes"),
    ("POST", "/v1/opt-outs"), ("POST", "/v1/opt-outs/links"),
}  # fmt: skip
"""What is a sender's without a grant."""


@pytest.mark.parametrize("around", [(b"[", b"0]"), (b"[[", b"0]]"), (b"", b"")])
def test_a_body_with_too_many_values_is_refused_before_parsing(around: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    body = around[0] + b"0," * (MOST_COMMAS + 1) + around[1]
    monkeypatch.setattr(batch_limits, "decode_raw", None)  # calling it fails
    with pytest.raises(ProblemDetails, match="413"):
        check_count(body)


def test_a_full_array_of_the_largest_requests_is_within_the_limit() -> None:
    assert FEW.count(b",") * (MOST_IN_ARRAY // 10) < MOST_COMMAS
    assert len(FEW) * (MOST_IN_ARRAY // 10) < MOST_BYTES


@pytest.mark.parametrize("item", [b"0", b"{}", json.dumps(ASK).encode()])
def test_an_array_of_ten_thousand_is_accepted_and_a_larger_one_refused(item: bytes) -> None:
    check_count(b"[" + b",".join([item] * MOST_IN_ARRAY) + b"]")
    with pytest.raises(ProblemDetails, match="413"):
        check_count(b"[" + b",".join([item] * (MOST_IN_ARRAY + 1)) + b"]")


def test_a_body_with_an_excessive_content_length_is_refused_before_it_is_read(service: Service) -> None:
    head = f"POST {BATCH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {service.token('general', 'sender')}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(f"{head}content-length: {MOST_BYTES + 1}\r\n\r\n[".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_with_too_many_values_is_refused_before_its_end(service: Service) -> None:
    head = f"POST {BATCH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {service.token('general', 'sender')}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(f"{head}content-length: {MOST_BYTES}\r\n\r\n[".encode() + b"0," * (MOST_COMMAS + 1))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


@contextmanager
def streaming(service: Service) -> Iterator[socket.socket]:
    """A batch of an enterprise that has started and does not end."""
    line = json.dumps(ASK).encode() + b"\n"
    head = f"POST {BATCH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {service.token('quiet', 'sender')}\r\ncontent-type: {NDJSON}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n{len(line):x}\r\n".encode() + line + b"\r\n")
        came = b""
        while b"decision" not in came:
            came += connection.recv(4000)
        yield connection


def test_concurrent_batches_are_limited_per_key_without_delaying_other_keys(service: Service) -> None:
    opened = [streaming(service) for _ in range(AT_ONCE)]
    for one in opened:
        one.__enter__()
    try:
        for body, kind in ((json.dumps([ASK]).encode(), "application/json"), (json.dumps(ASK).encode(), NDJSON)):
            refused = service.call("POST", BATCH, body, content_type=kind, enterprise="quiet")
            assert (refused.status, refused.json["code"], "retry-after" in refused.headers) == (429, "too_many_batches", True)
        assert service.call("POST", "/v1/decisions", ASK, enterprise="quiet").status == 200
        assert service.call("POST", BATCH, [ASK]).status == 200
    finally:
        for one in opened:
            one.__exit__(None, None, None)


def test_every_ended_batch_frees_its_place(service: Service) -> None:
    for _ in range(AT_ONCE + 1):
        assert service.call("POST", BATCH, [ASK]).status == 200
        assert service.call("POST", BATCH, b"[", content_type="application/json").status == 400
        assert service.call("POST", BATCH, json.dumps(ASK).encode(), content_type=NDJSON).status == 200


def test_each_batch_is_logged_in_one_line_with_its_counts(fresh: Service) -> None:
    asks: list[Any] = [ASK, ASK, {**ASK, "patient": {"value": "MRN9"}}, 0]
    fresh.call("POST", BATCH, asks)
    fresh.call("POST", BATCH, b"\n".join(json.dumps(one).encode() for one in asks), content_type=NDJSON)
    fresh.call("POST", BATCH, [])
    lines = [one for one in fresh.call("GET", "/v1/audit", role="auditor").json if one["action"] == "decided_batch"]
    (key,) = [one.id for one in fresh.keys.list() if one.role == "sender"]
    counts = {"asks": 4, "found": 2, "unknown": 1, "ambiguous": 0, "invalid": 1}
    assert [(one["actor"], one["subject"], one["detail"]) for one in lines] == [("sender:sender of general", key, counts)] * 2


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/healthz"), ("GET", "/v1/changes"), ("POST", "/v1/decisions"), ("POST", BATCH), ("GET", "/v1/nothing"), ("GET", "/schema")],
)
def test_responses_forbid_caching_and_content_sniffing(service: Service, method: str, path: str) -> None:
    headers = service.call(method, path, [ASK] if path == BATCH else ASK if method == "POST" else None).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_streams_forbid_caching_too(service: Service) -> None:
    headers = service.call("POST", BATCH, json.dumps(ASK).encode(), content_type=NDJSON).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_a_senders_key_can_call_only_the_documented_operations(service: Service) -> None:
    document = service.call("GET", "/schema").json
    keyed = [(path, method) for path, methods in document["paths"].items() for method, one in methods.items() if "security" not in one]
    calls = {(method.upper(), path) for path, method in keyed}
    known = {"patient_id": service.patient()["id"]}
    opened = {(method, path) for method, path in calls if service.call(method, path.format_map(_Any(known)), {}).status != 403}
    assert opened == SENDERS_CALLS
    assert len(calls) > len(ROLES) + len(opened)


class _Any(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "x"


def test_an_expired_key_is_refused(fresh: Service) -> None:
    number, token = fresh.keys.create("for a while", "general", "sender", NOW, expires=NOW + timedelta(days=1))
    assert fresh.keys.verify(token, NOW + timedelta(hours=23)) is not None
    assert fresh.keys.verify(token, NOW + timedelta(days=1)) is None
    assert [one.expires for one in fresh.keys.list() if one.id == number] == [NOW + timedelta(days=1)]
    over = fresh.keys.create("over", "general", "sender", NOW, expires=NOW - timedelta(seconds=1))[1]
    assert fresh.call("POST", "/v1/decisions", ASK, role=None, authorization=f"Bearer {over}").status == 401


def test_a_keys_last_use_is_stored_once_an_hour(fresh: Service) -> None:
    number, token = fresh.keys.create("used", "general", "sender", NOW)
    assert fresh.keys.list()[0].last_used is None
    fresh.keys.note_use(number, NOW)
    (found,) = [one for one in fresh.keys.list() if one.id == number]
    assert found.last_used == found.created == NOW
    assert [found.use_is_noted(NOW + after) for after in (timedelta(minutes=59), timedelta(hours=1))] == [True, False]
    assert fresh.keys.verify(token, NOW) == found


def test_recording_a_keys_use_does_not_delay_the_caller(fresh: Service) -> None:
    number, token = fresh.keys.create("used", "general", "sender", NOW)
    with fresh.store.database.write("general"):  # a run is writing
        assert fresh.call("POST", "/v1/decisions", ASK, role=None, authorization=f"Bearer {token}").status == 200
    fresh.lanes.notes.wait()
    assert [one.last_used is not None for one in fresh.keys.list() if one.id == number] == [True]
