"""Unclear replies and lines over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.store.web.conftest import CELL, LINE, Service

ORDER = "please cancel my order"
ASK = {"patient": {"value": "MRN1"}, "message_type": "broadcast", "channels": ["sms"], "line": LINE}


def text(service: Service, body: str = ORDER, **more: Any) -> Any:
    return service.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": body} | more)


def decided(service: Service) -> str:
    return str(service.call("POST", "/v1/decisions", ASK).json["decision"])


@pytest.mark.parametrize(("decision", "state", "outcome"), [("opt_out", "opt_out", "do_not_send"), ("dismiss", "dismissed", "send")])
def test_an_unclear_reply_waits_for_a_person(fresh: Service, decision: str, state: str, outcome: str) -> None:
    assert text(fresh).json == {"recognised": "review", "scope": "line", "confirmation": "none", "patients": 2}
    assert decided(fresh) == "do_not_send"
    (waits,) = fresh.call("GET", "/v1/replies?state=review", role="staff").json
    assert (waits["body"], waits["number"], waits["line"], len(waits["patients"])) == (ORDER, CELL, LINE, 2)
    where, verdict = f"/v1/replies/{waits['id']}/decide", {"decision": decision, "reason": "asked"}
    found = fresh.call("POST", where, verdict, role="staff")
    assert (found.status, found.json["state"], found.json["reason"]) == (200, state, "asked")
    assert decided(fresh) == outcome
    assert fresh.call("GET", "/v1/replies", role="manager").json == []
    assert [one["id"] for one in fresh.call("GET", f"/v1/replies?state={state}", role="auditor").json] == [waits["id"]]
    assert fresh.call("POST", where, verdict, role="staff").status == 412
    actions = {one["action"] for one in fresh.call("GET", "/v1/audit", role="auditor").json}
    assert {"viewed_replies", "decided_reply"} <= actions


def test_a_bare_cancel_opts_out_and_is_listed_for_staff_until_they_have_handled_it(fresh: Service) -> None:
    assert text(fresh, "CANCEL").json["also_maybe"] == ["appointment_cancel"]
    assert "also_maybe" not in text(fresh, "STOP").json
    (waits,) = fresh.call("GET", "/v1/replies?state=appointment", role="staff").json
    where = f"/v1/replies/{waits['id']}/decide"
    assert [fresh.call("POST", where, {"decision": one}, role="staff").status for one in ("dismiss", "handled", "handled")] == [
        422,
        200,
        412,
    ]
    assert decided(fresh) == "do_not_send"


@pytest.mark.parametrize(
    "answered",
    [{"category": "adverts"}, {"kind": "x"}, "marketing", 7, [], {"topic": "\0"}, {"message_type": "newsletter"}, {"topic": ""}, None],
)
def test_an_opt_out_counts_whatever_is_wrong_with_what_it_answered(fresh: Service, answered: Any) -> None:
    found = text(fresh, "STOP", in_reply_to=answered)
    assert (found.status, found.json["recognised"]) == (200, "opt_out")
    assert decided(fresh) == "do_not_send"
    (kept,) = fresh.call("GET", "/v1/sms-consent/report", role="manager").json
    assert kept["in_reply_to"] == {}


def test_an_opt_out_keeps_what_it_answered(fresh: Service) -> None:
    answered = {"message_type": "campaign", "topic": "recall", "category": "marketing"}
    text(fresh, "STOP", in_reply_to=answered)
    (kept,) = fresh.call("GET", "/v1/sms-consent/report", role="manager").json
    assert kept["in_reply_to"] == fresh.patient()["sms_consent"]["opted_out"][0]["in_reply_to"] == answered
    table = fresh.call("GET", "/v1/sms-consent/report?format=csv", role="manager").body.decode()
    assert "message_type=campaign topic=recall category=marketing" in table
    other = ASK | {"line": "+12175550191"}
    asked = {
        name: fresh.call("POST", "/v1/decisions", other | {"category": name}).json["decision"] for name in ("marketing", "informational")
    }
    assert asked == {"marketing": "do_not_send", "informational": "send"}, "marketing is ended on every line"
    assert fresh.call("POST", "/v1/decisions", other | {"category": "other"}).status == 422


def test_replies_belong_to_one_enterprise(fresh: Service) -> None:
    text(fresh)
    (waits,) = fresh.call("GET", "/v1/replies", role="staff").json
    assert fresh.call("GET", "/v1/replies", role="staff", enterprise="local").json == []
    where = f"/v1/replies/{waits['id']}/decide"
    answer = fresh.call("POST", where, {"decision": "dismiss"}, role="staff", enterprise="local")
    assert (answer.status, answer.json["code"]) == (404, "reply_unknown")


@pytest.mark.parametrize("query", ["state=all", "limit=0x", "limit=1001"])
def test_an_invalid_query_is_refused(fresh: Service, query: str) -> None:
    assert fresh.call("GET", f"/v1/replies?{query}", role="staff").status == 422


NO_LINES = [
    "abc",
    "CLINIC",
    "+1217555019",
    "217555019",
    "5550190",
    "1",
    "+",
    "+12175550190x",
    "a12175550190",
    "\u0661\u0662\u0663\u0664\u0665",
]


@pytest.mark.parametrize("line", NO_LINES)
def test_an_invalid_line_is_refused_everywhere(fresh: Service, line: str) -> None:
    text(fresh, "STOP")
    assert fresh.call("POST", "/v1/decisions", ASK | {"line": line}).status == 422
    assert text(fresh, "STOP", line=line).status == 422
    patient = fresh.patient("MRN1")["id"]
    assert fresh.call("POST", f"/v1/patients/{patient}/sms-consent", {"line": line}, role="staff").status == 422
    batch = fresh.call("POST", "/v1/decisions/batch", [ASK, ASK | {"line": line}, ASK | {"line": "+12175550191"}]).json
    assert [one["decision"] for one in batch] == ["do_not_send", "do_not_send", "send"]
    assert [one["reasons"] for one in batch] == [["sms_opted_out", "no_copy"], ["ask_invalid"], []]


def test_a_report_for_an_invalid_line_is_refused(fresh: Service) -> None:
    assert fresh.call("GET", "/v1/sms-consent/report?line=abc", role="manager").status == 422


@pytest.mark.parametrize("line", [LINE, "(217) 555-0190", "12175550190", "1 217 555 0190", "tel:+12175550190"])
def test_a_line_is_recognized_in_every_spelling_in_every_request(fresh: Service, line: str) -> None:
    text(fresh, "STOP")
    asks = [ASK | {"line": line}, ASK | {"line": "+12175550191"}]
    batch = fresh.call("POST", "/v1/decisions/batch", asks).json
    assert [one["decision"] for one in batch] == ["do_not_send", "send"]
    assert fresh.call("POST", "/v1/decisions", asks[0]).json["decision"] == "do_not_send"


def test_an_appointment_number_outside_every_numbering_plan_is_refused(fresh: Service) -> None:
    ask = ASK | {"appointment": {"preferred_phone": "+1217555010"}}
    assert fresh.call("POST", "/v1/decisions", ask).status == 422
    assert fresh.call("POST", "/v1/decisions/batch", [ask]).json[0]["reasons"] == ["ask_invalid"]


def test_an_opt_out_for_a_patient_without_a_phone_is_accepted(fresh: Service) -> None:
    ask = ASK | {"patient": {"value": "MRN1"}}
    patient = fresh.patient("MRN1")["id"]
    answer = fresh.call("POST", f"/v1/patients/{patient}/sms-consent", {"all_lines": True}, role="staff")
    assert answer.status == 200
    assert [one["on_file"] for one in answer.json["sms_consent"]["opted_out"]] == [True, True]
    assert fresh.call("POST", "/v1/decisions", ask).json["decision"] == "do_not_send"
