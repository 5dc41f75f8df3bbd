"""A single decision is answered before the framework sees it: every byte is what the framework would answer, errors included."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from store.web.http import body as bodies
from tests.store.web.conftest import Service
from tests.store.web.raw import ASK, BODY, asked, bearer, connected

MOST = 1024 * 1024
UNKNOWN = {**ASK, "patient": {"value": "nobody"}}
ID = b"dec_" + b"0" * 27
"""Stands for the id of any decision."""
NOBODY = (
    b'{"decision":"do_not_send","channel":null,"address":null,"language":null,"reasons":["patient_unknown"],"skipped":[],"evidence":[],'
    b'"as_of":null,"stale":false,"patient_version":null,"id":"%s"}' % ID
)


def chunked(*chunks: bytes) -> bytes:
    return b"".join(f"{len(one):x}\r\n".encode() + one + b"\r\n" for one in (*chunks, b""))


def problem(status: str, code: str, detail: str, *headers: str) -> bytes:
    """A problem as recorded before single decisions had an application of their own."""
    title = code.replace("_", " ").capitalize()
    kind = code.replace("_", "-")
    body = f'{{"type":"urn:emr-sync:problem:{kind}","title":"{title}","status":{status[:3]},"code":"{code}","detail":"{detail}"}}'.encode()
    lines = (*headers, "content-type: application/problem+json", f"content-length: {len(body)}", *STRICT)
    return f"HTTP/1.1 {status}\r\n".encode() + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


STRICT = ("cache-control: no-store", "x-content-type-options: nosniff")
CHALLENGE = 'www-authenticate: Bearer realm="emr-sync"'
NO_KEY = problem("401 Unauthorized", "unauthorized", "send your API key: Authorization: Bearer …", CHALLENGE)
WRONG_KEY = problem("401 Unauthorized", "unauthorized", "the API key is unknown, revoked or expired", f'{CHALLENGE}, error="invalid_token"')
NO_JSON = problem("400 Bad Request", "malformed_json", "the body is not valid JSON in UTF-8")
TOO_LARGE = problem("413 Request Entity Too Large", "request_entity_too_large", "the body is too large for this address")
METHOD = problem("405 Method Not Allowed", "method_not_allowed", "method not allowed at this address", "allow: POST, OPTIONS")


def invalid(detail: str, code: str = "invalid_request") -> bytes:
    return problem("422 Unprocessable Entity", code, detail)


def with_(**more: Any) -> bytes:
    return json.dumps({**ASK, **more}).encode()


Refused = Callable[[str], bytes]
"""The right ``Authorization`` -> the request."""
REFUSED: dict[str, tuple[Refused, bytes]] = {
    "no key": (lambda key: asked(None), NO_KEY),
    "an empty key": (lambda key: asked("Bearer "), NO_KEY),
    "another scheme": (lambda key: asked("Basic eDp5"), NO_KEY),
    "a wrong key": (lambda key: asked("Bearer esk.key_1.wrong"), WRONG_KEY),
    "a key that is not ASCII": (lambda key: asked("Bearer \xe9"), WRONG_KEY),
    "a wrong key before the right one": (lambda key: asked(key, BODY, "authorization: Bearer wrong"), WRONG_KEY),
    "no key and too large a body": (lambda key: asked(None, b"x" * 10), NO_KEY),
    "no body": (lambda key: asked(key, b""), NO_JSON),
    "half a body": (lambda key: asked(key, BODY[:-1]), NO_JSON),
    "not UTF-8": (lambda key: asked(key, b"\xff\xfe"), NO_JSON),
    "half a surrogate pair": (lambda key: asked(key, with_(topic="?").replace(b"?", b"\\ud800")), NO_JSON),
    "an array": (lambda key: asked(key, b"[" + BODY + b"]"), invalid("Expected `object`, got `array`")),
    "100,000 brackets": (
        lambda key: asked(key, b'{"patient":' + b"[" * 100_000), invalid("Expected `object`, got `array` - at `$.patient`"),
    ),
    "an unknown field": (lambda key: asked(key, with_(x=1)), invalid("Object contains unknown field `x`")),
    "a NUL": (lambda key: asked(key, with_(topic="a\0b")), invalid("topic contains a NUL character")),
    "no patient": (
        lambda key: asked(key, with_(patient={})),
        invalid("does not identify a patient: give id, or authority and value - at `$.patient`"),
    ),
    "a time without offset": (
        lambda key: asked(key, with_(at="2026-11-02T10:00:00")), invalid("Expected `datetime` with a timezone component - at `$.at`"),
    ),
    "a time outside the calendar": (lambda key: asked(key, with_(at="9999-12-31T23:59:59Z")), invalid("the time is outside the calendar")),
    "no line": (lambda key: asked(key, with_(line="--")), invalid("line must be a phone number in E.164 or a short code")),
    "a line in no numbering plan": (
        lambda key: asked(key, with_(line="12345678901234")),
        invalid("line must be a phone number in E.164, like +12175550100, or a short code", "value_refused"),
    ),
    "a phone that is a digit short": (
        lambda key: asked(key, with_(appointment={"preferred_phone": "+1217555010"})),
        invalid("preferred_phone must be a phone number in E.164, like +12175550100", "value_refused"),
    ),
    "too large": (lambda key: asked(key, BODY + b" " * (MOST + 1 - len(BODY))), TOO_LARGE),
    "announced too large": (lambda key: asked(key, b"", f"content-length: {MOST + 1}", announced=False), TOO_LARGE),
    "chunked and too large": (
        lambda key: asked(key, chunked(b" " * MOST, b" "), "transfer-encoding: chunked", announced=False), TOO_LARGE,
    ),
    "another method": (lambda key: asked(key, method="PUT"), METHOD),
    "reading": (lambda key: asked(key, b"", method="GET"), METHOD),
}  # fmt: skip
ACCEPTED: dict[str, Refused] = {
    "as usual": lambda key: asked(key, JSON),
    "chunked": lambda key: asked(key, chunked(JSON[:9], JSON[9:]), "transfer-encoding: chunked", announced=False),
    "of the largest size": lambda key: asked(key, JSON + b" " * (MOST - len(JSON))),
    "with a query": lambda key: asked(key, JSON, path="/v1/decisions?a=%00"),
    "with an escaped path": lambda key: asked(key, JSON, path="/v1/decision%73"),
    "with a slash at the end": lambda key: asked(key, JSON, path="/v1/decisions/"),
    "with two slashes": lambda key: asked(key, JSON, path="//v1/decisions"),
    "at an absolute address": lambda key: asked(key, JSON, path="http://x/v1/decisions"),
    "as text": lambda key: asked(key, JSON, "content-type: text/plain"),
    "as NDJSON": lambda key: asked(key, JSON, "content-type: application/x-ndjson"),
    "with a broken content type": lambda key: asked(key, JSON, "content-type: \xff;;;"),
    "with the scheme in lower case": lambda key: asked(f"bearer   {key.split()[1]}  ", JSON),
    "with a wrong key after the right one": lambda key: asked("Bearer wrong", JSON, f"authorization: {key}"),
}
JSON = json.dumps(UNKNOWN).encode()
FOUND = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(NOBODY)
FOUND += "".join(f"{line}\r\n" for line in STRICT).encode()


def any_id(answer: bytes) -> bytes:
    """The answer with :data:`ID` as the id of its decision."""
    return re.sub(rb'"id":"dec_[0-9a-z]+"', b'"id":"%s"' % ID, answer)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_the_recorded_one_and_the_connection_goes_on(service: Service, name: str) -> None:
    build, expected = REFUSED[name]
    request = build(bearer(service))
    with connected(service) as raw:
        raw.send(request)
        assert raw.answer() == expected
        if name != "announced too large":  # the rest of its body would have to come first
            raw.send(asked(bearer(service), JSON))
            assert any_id(raw.answer()) == FOUND + b"\r\n" + NOBODY


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_decision_is_the_recorded_one(service: Service, name: str) -> None:
    with connected(service) as raw:
        raw.send(ACCEPTED[name](bearer(service)))
        assert any_id(raw.answer()) == FOUND + b"\r\n" + NOBODY


@pytest.mark.parametrize("name", [name for name in REFUSED if "reading" not in name and "method" not in name])
def test_the_framework_refuses_in_the_same_words(service: Service, name: str) -> None:
    """Another spelling of the address reaches its route, which has no rules of its own."""
    request = REFUSED[name][0](bearer(service)).replace(b"/v1/decisions ", b"/v1/decisions/ ", 1)
    with connected(service) as raw:
        raw.send(request)
        assert raw.answer() == REFUSED[name][1]


def test_old_clients_and_those_that_want_it_get_their_connection_closed(service: Service) -> None:
    for request in (asked(bearer(service), JSON, version="1.0"), asked(bearer(service), JSON, "connection: close")):
        with connected(service) as raw:
            raw.send(request)
            assert any_id(raw.answer()) == FOUND + b"connection: close\r\n\r\n" + NOBODY
            assert raw.reader.read() == b""


def test_requests_that_arrive_in_pieces_or_together_are_answered_in_order(service: Service) -> None:
    one = asked(bearer(service), JSON)
    with connected(service) as raw:
        raw.send(*(one[place : place + 40] for place in range(0, len(one), 40)))
        assert any_id(raw.answer()).endswith(NOBODY)
        raw.send(asked(bearer(service), b"{") + one + asked(None) + one)
        assert [raw.answer()[9:12] for _ in range(4)] == [b"400", b"200", b"401", b"200"]


def test_a_client_is_told_to_send_its_body_only_with_a_valid_key(service: Service) -> None:
    for key, came in ((bearer(service), b"HTTP/1.1 100 Continue\r\n\r\n"), (None, NO_KEY)):
        with connected(service) as raw:
            raw.send(asked(key, b"", "expect: 100-continue", f"content-length: {len(JSON)}", announced=False))
            assert raw.answer() == came


def test_a_slow_body_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LONGEST_SECONDS", 0.1)
    with connected(service) as raw:
        raw.send(asked(bearer(service), b"{", f"content-length: {len(JSON)}", announced=False))
        detail = "the body did not arrive within 0 seconds"
        assert raw.answer() == problem("408 Request Timeout", "request_timeout", detail, "connection: close")
        assert raw.reader.read() == b""


def test_a_caller_who_leaves_in_the_middle_is_not_an_error(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with connected(service) as raw:
        raw.send(asked(bearer(service), b"{", "content-length: 1000", announced=False))
    assert service.call("POST", "/v1/decisions", UNKNOWN).status == 200
    assert "failed" not in caplog.text


def test_the_headers_and_options_of_the_address_are_the_frameworks(service: Service) -> None:
    with connected(service) as raw:
        raw.send(asked(bearer(service), b"", method="HEAD") + asked(bearer(service), b"", method="OPTIONS"))
        assert raw.answer(has_body=False) == METHOD.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        allowed = raw.answer(has_body=False)
        assert re.sub(rb"allow: [^\r]*", b"allow", allowed) == (
            b"HTTP/1.1 204 No Content\r\nallow\r\n" + "".join(f"{line}\r\n" for line in STRICT).encode() + b"\r\n"
        )
