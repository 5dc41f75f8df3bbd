"""Decision requests over HTTP: one, an array, a stream of lines."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any

import pytest

from store import times
from store.preference import Identifier, PatientStatements, Statement
from tests.store.web.conftest import CELL, EARLIER, LINE, NOW, Service, codes

ASK = {"patient": {"authority": "GENHOSP", "value": "MRN1"}, "message_type": "broadcast", "channels": ["sms", "voice"], "line": LINE}


def ask(**changes: Any) -> dict[str, Any]:
    return {**ASK, **changes}


STOPPED = {LINE: True, "(217) 555-0190": True, "1-217-555-0190": True, "+12175550199": False, "217.555.0199": False, "12345": False}


@pytest.mark.parametrize("order", [1, -1])
def test_a_batch_with_many_spellings_of_a_line_finds_each_stop(fresh: Service, order: int) -> None:
    """Each request uses its own line, whether or not others in its group have one."""
    fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "STOP"})
    without = {key: value for key, value in ASK.items() if key != "line"}
    asks = [without, *(one for line in STOPPED for one in (ask(line=line), without))][::order]
    answers = fresh.call("POST", "/v1/decisions/batch", asks).json
    found = [("sms_opted_out" in answer["reasons"]) for answer, one in zip(answers, asks, strict=True) if "line" in one]
    assert found == list(STOPPED.values())[::order]
    assert [answer["reasons"] for answer in answers] == [fresh.call("POST", "/v1/decisions", one).json["reasons"] for one in asks]


def test_it_works(service: Service) -> None:
    reply = service.call("POST", "/v1/decisions", ASK)
    decision = reply.json
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert (decision["decision"], decision["channel"], decision["address"], decision["language"]) == ("send", "sms", CELL, "en")
    assert (decision["reasons"], decision["skipped"], decision["stale"], decision["patient_version"]) == ([], [], False, 1)
    assert decision["as_of"].endswith("Z")
    assert decision["evidence"][0]["attribute"] == "phones"
    assert decision["evidence"][0]["authority"] == "emr:genhosp-adt"
    assert decision["evidence"][0]["id"] == "M1"


def test_the_worked_example_is_sent_as_a_call(fresh: Service) -> None:
    fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "Stop."})
    decision = fresh.call("POST", "/v1/decisions", ASK).json
    assert (decision["decision"], decision["channel"], decision["address"]) == ("send", "voice", CELL)
    assert decision["reasons"] == ["sms_opted_out"]
    assert decision["skipped"] == [{"channel": "sms", "reason": "sms_opted_out"}]


def test_a_line_is_recognized_in_every_spelling(fresh: Service) -> None:
    fresh.call("POST", "/v1/sms-replies", {"line": "1 (217) 555-0190", "from": "1 217-555-0101", "body": "STOP"})
    for line in (LINE, "+1 217 555 0190", "+1.217.555.0190", "12175550190"):
        assert fresh.call("POST", "/v1/decisions", ask(line=line)).json["reasons"] == ["sms_opted_out"]


def test_an_automation_respects_do_not_contact(service: Service) -> None:
    decision = service.call("POST", "/v1/decisions", ask(patient={"value": "MRN2"}, message_type="automation")).json
    assert (decision["decision"], decision["channel"], decision["reasons"]) == ("do_not_send", None, ["do_not_contact"])


def test_an_ambiguous_identifier_needs_its_authority(fresh: Service) -> None:
    twin = PatientStatements((Identifier("CLINIC", "MR", "MRN1"),), {"language": Statement("es", "PID-15")}, times.at(EARLIER), "M9")
    with fresh.store.database.write("general") as transaction:
        fresh.store.apply_many(transaction, "general", "genhosp-adt", [twin], now=NOW)
    assert fresh.call("POST", "/v1/decisions", ask(patient={"value": "MRN1"})).json["reasons"] == ["patient_ambiguous"]
    assert fresh.call("POST", "/v1/patients/lookup", {"value": "MRN1"}, role="staff").json["code"] == "patient_ambiguous"
    assert fresh.call("POST", "/v1/decisions", ASK).json["decision"] == "send"


@pytest.mark.parametrize("enterprise", ["general", "local"])
def test_no_patient_has_the_identifier(service: Service, enterprise: str) -> None:
    reply = service.call("POST", "/v1/decisions", ask(patient={"value": "nobody"}), enterprise=enterprise)
    assert (reply.status, reply.json["decision"], reply.json["reasons"]) == (200, "do_not_send", ["patient_unknown"])


def test_a_patient_of_another_enterprise_is_unknown(service: Service) -> None:
    other = service.patient(enterprise="local")["id"]
    assert service.call("POST", "/v1/decisions", ask(patient={"id": other})).json["reasons"] == ["patient_unknown"]
    assert service.call("POST", "/v1/decisions", ask(patient={"id": other}), enterprise="local").json["decision"] == "send"


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        (b"{", 400, "not valid JSON"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (b"[" * 100_000, 422, "object"),
        (b"[]", 422, "object"),
        (ask(message_type="newsletter"), 422, "$.message_type"),
        (ask(channels=["fax"]), 422, "$.channels[0]"),
        (ask(patient={}), 422, "$.patient"),
        (ask(patient="MRN1"), 422, "$.patient"),
        (ask(patient={"value": "x" * 300}), 422, "$.patient.value"),
        (ask(patient={"value": "MRN1", "name": "Pat"}), 422, "$.patient"),
        (ask(enterprise="local"), 422, "enterprise"),
        (ask(line=""), 422, "$.line"),
        (ask(line="--"), 422, "line"),
        (ask(appointment={"preferred_method": "fax"}), 422, "$.appointment"),
        (ask(appointment={"preferred_phone": "555-0101"}), 422, "$.appointment.preferred_phone"),
        (ask(at="2026-11-02T10:00:00"), 422, "$.at"),
        ({"patient": {"value": "MRN1"}}, 422, "message_type"),
    ],
)
def test_a_bad_request_gets_problem_details(service: Service, body: Any, status: int, where: str) -> None:
    reply = service.call("POST", "/v1/decisions", body)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert where in reply.json["detail"]
    assert reply.json["status"] == status
    assert "MRN1" not in reply.body.decode()


def test_an_array_is_answered_in_order_and_a_bad_item_does_not_fail_the_others(service: Service) -> None:
    asks = [ASK, {"bad": 1}, ask(patient={"value": "nobody"}), ask(message_type="x"), 7, ask(patient={"value": "MRN2"})]
    reply = service.call("POST", "/v1/decisions/batch", asks)
    assert [one["decision"] for one in reply.json] == ["send", "do_not_send", "do_not_send", "do_not_send", "do_not_send", "send"]
    assert codes(reply.json) == [[], ["ask_invalid"], ["patient_unknown"], ["ask_invalid"], ["ask_invalid"], []]
    assert "message_type" in reply.json[3]["detail"]


def test_an_empty_array_gets_an_empty_array(service: Service) -> None:
    assert service.call("POST", "/v1/decisions/batch", []).json == []


def test_an_array_may_have_ten_thousand_requests_and_no_more(service: Service) -> None:
    assert len(service.call("POST", "/v1/decisions/batch", [ASK] * 10_000).json) == 10_000
    reply = service.call("POST", "/v1/decisions/batch", [ASK] * 10_001)
    assert (reply.status, reply.json["code"]) == (413, "batch_too_large")


@pytest.mark.parametrize("body", [b"{}", b"null", b"[1,", b"", b"[" * 100_000])
def test_a_batch_that_is_not_an_array_is_refused(service: Service, body: bytes) -> None:
    assert service.call("POST", "/v1/decisions/batch", body).status in (400, 422)


def test_lines_are_answered_line_by_line(service: Service) -> None:
    rows = [ASK, ask(patient={"value": "nobody"}), ask(message_type="automation", patient={"value": "MRN2"})]
    body = b"\n".join([json.dumps(row).encode() for row in rows] + [b"", b"not json", b"x" * 100_000, json.dumps(ASK).encode()])
    reply = service.call("POST", "/v1/decisions/batch", body, content_type="application/x-ndjson")
    decisions = [json.loads(line) for line in reply.body.splitlines()]
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    assert codes(decisions) == [[], ["patient_unknown"], ["do_not_contact"], ["ask_invalid"], ["ask_invalid"], []]


def test_lines_are_answered_while_more_are_being_sent(service: Service) -> None:
    """The first lines are answered before the last ones are written: nothing is held back until the end."""
    line = json.dumps(ASK).encode() + b"\n"
    connection = HTTPConnection("127.0.0.1", service.port, timeout=20)
    connection.putrequest("POST", "/v1/decisions/batch")
    connection.putheader("authorization", f"Bearer {service.token('general', 'sender')}")
    connection.putheader("content-type", "application/x-ndjson")
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    connection.send(b"%x\r\n%s\r\n" % (len(line), line))
    response = connection.getresponse()
    assert json.loads(response.readline())["decision"] == "send"
    connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(line), line))
    assert json.loads(response.readline())["decision"] == "send"
    assert response.readline() == b""
    response.close()
    connection.close()


def test_many_lines_are_answered_once_each(service: Service) -> None:
    body = (json.dumps(ASK).encode() + b"\n") * 20_000
    reply = service.call("POST", "/v1/decisions/batch", body, content_type="application/x-ndjson")
    assert reply.body.count(b"\n") == reply.body.count(b'"decision":"send"') == 20_000
