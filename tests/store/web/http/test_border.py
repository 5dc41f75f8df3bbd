"""Values that cannot be stored are refused on input, with the reason. No opt-out is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.store.web.conftest import CELL, LINE, NOW, Service

ASK = {"patient": {"value": "MRN1"}, "message_type": "automation", "channels": ["sms"]}
UNUSABLE: list[Any] = [
    "",
    "yesterday",
    "2026-11-02",
    "2026-11-02T10:42:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    7,
    {},
]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/decisions", {**ASK, "topic": "a\0"}),
        ("/v1/decisions", {**ASK, "patient": {"value": "MRN1\0"}}),
        ("/v1/decisions", {**ASK, "at": "0001-01-01T00:00:00+14:00"}),
        ("/v1/decisions", {**ASK, "at": "9999-12-31T23:59:59-14:00"}),
        ("/v1/decisions", {**ASK, "appointment": {"preferred_phone": f"{CELL}\n"}}),
        ("/v1/patients/lookup", {"value": "\0"}),
        ("/v1/sms-replies", {"line": LINE, "from": f"{CELL}\0", "body": "STOP"}),
    ],
)
def test_nul_and_impossible_times_are_refused(service: Service, path: str, body: Any) -> None:
    answer = service.call("POST", path, body, role="staff" if "patients" in path else "sender")
    assert (answer.status, answer.json["code"]) == (422, "invalid_request")
    assert "MRN1" not in answer.json["detail"]


def test_an_escaped_nul_is_ordinary_text(service: Service) -> None:
    """A backslash, then u0000."""
    assert service.call("POST", "/v1/decisions", {**ASK, "topic": "\\u0000"}).status == 200


@pytest.mark.parametrize("body", [b'{"value": "\xff"}', b'{"value": "\xed\xa0\x80"}', b"{", b""])
@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/patients/lookup", "/v1/sms-replies"])
def test_anything_but_json_in_utf_8_is_malformed(service: Service, path: str, body: bytes) -> None:
    answer = service.call("POST", path, body, role="staff" if "patients" in path else "sender")
    assert (answer.status, answer.json["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("body", [rb'{"value": "\ud800"}', b'{"value": ' + b"[" * 100_000, b'{"value": ' + b"9" * 10_000 + b"}"])
def test_a_lone_surrogate_a_deep_value_and_a_huge_number_are_refused(service: Service, body: bytes) -> None:
    assert service.call("POST", "/v1/patients/lookup", body, role="staff").status in (400, 422)


def test_an_item_with_nul_gets_a_problem_in_its_place_and_the_others_are_decided(service: Service) -> None:
    asks = [ASK, {**ASK, "topic": "\0"}, ASK]
    decided = service.call("POST", "/v1/decisions/batch", asks).json
    lines = b"\n".join(json.dumps(ask).encode() for ask in asks)
    streamed = service.call("POST", "/v1/decisions/batch", lines, content_type="application/x-ndjson").body.splitlines()
    assert [one["reasons"] == ["ask_invalid"] for one in decided] == [False, True, False]
    assert [json.loads(line)["reasons"] for line in streamed] == [one["reasons"] for one in decided]


@pytest.mark.parametrize("path", ["/v1/rejections?source=%00", "/v1/runs/%00", "/v1/patients/pt_%ed%a0%80"])
def test_a_url_with_an_unstorable_value_is_refused_or_not_found(service: Service, path: str) -> None:
    assert service.call("GET", path, role="operator" if "patients" not in path else "staff").status in (404, 422)


@pytest.mark.parametrize("at", UNUSABLE, ids=repr)
def test_a_stop_with_an_unusable_time_counts_as_now(fresh: Service, at: Any) -> None:
    reply = {"line": LINE, "from": CELL, "body": "STOP\0", "received_at": at}
    answer = fresh.call("POST", "/v1/sms-replies", reply)
    assert (answer.status, answer.json["recognised"]) == (200, "opt_out")
    (found,) = fresh.patient()["sms_consent"]["opted_out"]
    assert found["at"] >= NOW.isoformat()[:19]


def test_a_start_with_an_unusable_time_is_refused(fresh: Service) -> None:
    """It may be old, and would lift a newer STOP."""
    assert fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "STOP"}).status == 200
    for at in UNUSABLE:
        assert fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "START", "received_at": at}).status == 422
    assert fresh.patient()["sms_consent"]["opted_out"]
