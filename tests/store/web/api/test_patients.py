"""Facesheets, history, the toggle, the preferred phone and SMS consent over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.store.web.conftest import CELL, HOME, LINE, NOW, Service, statements

OTHER_LINE = "+12175550191"


def path(service: Service, enterprise: str, rest: str = "", value: str = "MRN1") -> str:
    return f"/v1/patients/{service.patient(value, enterprise)['id']}{rest}"


def test_it_works(service: Service) -> None:
    reply = service.call("POST", "/v1/patients/lookup", {"authority": "GENHOSP", "type": "MR", "value": "MRN1"}, role="staff")
    patient = reply.json
    assert (reply.status, reply.headers["etag"], patient["version"], patient["enterprise"]) == (200, '"1"', 1, "general")
    assert patient["identifiers"] == [{"authority": "GENHOSP", "type": "MR", "value": "MRN1"}]
    assert [one["source"] for one in patient["synced"]] == ["genhosp-adt"]
    assert patient["sms_consent"] == {"display": "Opted In", "opted_out": [], "shared": {CELL: 2}}
    assert patient["toggle"] == {
        "visible": True, "enabled": False, "value": "no", "reason": "mastered_by_emr", "mastered_by": "genhosp-adt",
    }  # fmt: skip


def test_each_value_has_its_source_and_its_master(service: Service) -> None:
    preferences = service.patient()["preferences"]
    phones, email = preferences["phones"], preferences["email"]
    assert phones["value"][0] == {
        "kind": "cell", "number": CELL, "raw": "(217) 555-0101", "rank": 1, "textable": True, "start": None, "end": None,
    }  # fmt: skip
    assert (phones["authority"], phones["evidence"], phones["locked_by"]) == ("emr:genhosp-adt", {"id": "M1", "path": "PID"}, "genhosp-adt")
    assert (email["value"], email["all"]) == ("pat@example.test", ["pat@example.test"])
    assert (preferences["language"]["value"], preferences["do_not_contact"]["value"]) == ("en", "no")
    assert preferences["consent.sms"] == {
        "value": "unknown", "authority": None, "evidence": None, "effective": None, "effective_latest": None, "recorded": None,
        "locked_by": None,
    }  # fmt: skip


def test_sms_consent_is_never_locked_even_for_a_number(fresh: Service) -> None:
    """It belongs to the patient (product section 6), whatever the EMR states; other channels belong to the EMR."""
    stated = {"consent.sms": "denied", f"consent.sms#{CELL}": "denied", "consent.voice": "denied", f"consent.voice#{CELL}": "denied"}
    with fresh.store.database.write("general") as transaction:
        fresh.store.apply_many(transaction, "general", "genhosp-adt", [statements("MRN9", "M9", **stated)], now=NOW)
    preferences = fresh.patient("MRN9")["preferences"]
    assert {name: preferences[name]["locked_by"] for name in stated} == {
        "consent.sms": None,
        f"consent.sms#{CELL}": None,
        "consent.voice": "genhosp-adt",
        f"consent.voice#{CELL}": "genhosp-adt",
    }


@pytest.mark.parametrize("role", ["enterprise", "manager", "staff", "auditor"])
def test_readers_see_a_patient_by_id_and_its_history(service: Service, role: str) -> None:
    assert service.call("GET", path(service, "general"), role=role).json["id"] == service.patient()["id"]
    lines = service.call("GET", path(service, "general", "/history"), role=role).json
    assert {"do_not_contact", "phones", "email", "language"} <= {line["attribute"] for line in lines}
    assert lines[0]["evidence"]["id"] == "M1"


def test_an_operator_cannot_see_patients(service: Service) -> None:
    for method, where in (("GET", path(service, "general")), ("POST", "/v1/patients/lookup")):
        assert service.call(method, where, {"value": "MRN1"} if method == "POST" else None, role="operator").status == 403


def test_a_known_version_is_not_sent_again(service: Service) -> None:
    reply = service.call("GET", path(service, "general"), role="staff", if_none_match='"1"')
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", '"1"')


@pytest.mark.parametrize("where", ["", "/history", "/do-not-contact", "/preferred-phone", "/sms-consent"])
def test_a_patient_of_another_enterprise_is_not_found(service: Service, where: str) -> None:
    method = {"": "GET", "/history": "GET", "/sms-consent": "POST"}.get(where, "PUT")
    body = {"/do-not-contact": {"value": "yes"}, "/preferred-phone": {"value": HOME}, "/sms-consent": {"line": LINE}}.get(where)
    reply = service.call(method, path(service, "local", where), body, role="enterprise" if body else "staff", enterprise="general")
    assert (reply.status, reply.json["code"]) == (404, "patient_unknown")


@pytest.mark.parametrize("role", ["enterprise", "manager", "staff"])
def test_the_toggle_is_locked_for_every_role_while_the_enterprise_syncs(fresh: Service, role: str) -> None:
    reply = fresh.call("PUT", path(fresh, "general", "/do-not-contact"), {"value": "yes", "reason": "asked"}, role=role)
    problem = reply.json
    assert (reply.status, problem["code"], problem["source"], problem["where"]) == (
        423, "preference_locked", "genhosp-adt", "General Hospital EMR",
    )  # fmt: skip
    assert problem["since"]
    assert "update this patient in General Hospital EMR" in problem["detail"]
    assert fresh.patient()["version"] == 1


def test_writing_the_current_locked_value_is_not_an_error(fresh: Service) -> None:
    reply = fresh.call("PUT", path(fresh, "general", "/do-not-contact"), {"value": "no"}, role="staff")
    assert (reply.status, reply.json["version"]) == (200, 1)


def test_an_enterprise_user_switches_the_toggle_without_sync(fresh: Service) -> None:
    where = path(fresh, "local", "/do-not-contact")
    reply = fresh.call("PUT", where, {"value": "yes", "reason": "asked by phone"}, role="enterprise", enterprise="local")
    assert (reply.status, reply.json["preferences"]["do_not_contact"]["value"]) == (200, "yes")
    assert reply.headers["etag"] == f'"{reply.json["version"]}"'
    line = fresh.call("GET", path(fresh, "local", "/history"), role="auditor", enterprise="local").json[0]
    assert (line["attribute"], line["after"], line["actor"]) == ("do_not_contact", "yes", "enterprise:enterprise of local")
    assert line["reason"] == "asked by phone"


@pytest.mark.parametrize("role", ["manager", "staff"])
def test_other_roles_see_the_toggle_but_cannot_switch_it(fresh: Service, role: str) -> None:
    reply = fresh.call("PUT", path(fresh, "local", "/do-not-contact"), {"value": "yes"}, role=role, enterprise="local")
    assert (reply.status, reply.json["code"]) == (403, "role_refused")
    toggle = fresh.call("GET", path(fresh, "local"), role=role, enterprise="local").json["toggle"]
    assert (toggle["visible"], toggle["enabled"], toggle["reason"]) == (True, False, "role_may_not")


@pytest.mark.parametrize("role", ["enterprise", "manager", "staff"])
def test_no_role_can_switch_a_disabled_toggle(fresh: Service, role: str) -> None:
    reply = fresh.call("PUT", path(fresh, "quiet", "/do-not-contact"), {"value": "yes"}, role=role, enterprise="quiet")
    assert (reply.status, reply.json["code"]) == (409, "toggle_off")


@pytest.mark.parametrize("body", [{}, {"value": "maybe"}, {"value": True}, {"value": "unknown"}, {"value": "yes", "who": "me"}, []])
def test_a_bad_toggle_value_is_refused(service: Service, body: Any) -> None:
    reply = service.call("PUT", path(service, "local", "/do-not-contact"), body, role="enterprise", enterprise="local")
    assert (reply.status, reply.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize("tag", ['"7"', "7", "garbage", 'W/"9"'])
def test_a_change_based_on_another_version_is_refused(fresh: Service, tag: str) -> None:
    where = path(fresh, "local", "/do-not-contact")
    reply = fresh.call("PUT", where, {"value": "yes"}, role="enterprise", enterprise="local", if_match=tag)
    assert (reply.status, reply.json["code"]) == (412, "version_conflict")


@pytest.mark.parametrize("tag", ['"1"', "*", 'W/"1"'])
def test_a_change_based_on_the_current_version_is_applied(fresh: Service, tag: str) -> None:
    where = path(fresh, "local", "/do-not-contact")
    assert fresh.call("PUT", where, {"value": "yes"}, role="enterprise", enterprise="local", if_match=tag).status == 200


def test_staff_choose_the_preferred_phone_without_sync(fresh: Service) -> None:
    where = path(fresh, "local", "/preferred-phone")
    reply = fresh.call("PUT", where, {"value": HOME}, role="staff", enterprise="local")
    assert (reply.status, reply.json["preferences"]["preferred_phone"]["value"]) == (200, HOME)
    stranger = fresh.call("PUT", where, {"value": "+12175550177"}, role="staff", enterprise="local")
    assert (stranger.status, stranger.json["code"]) == (422, "value_refused")


def test_an_opt_out_recorded_by_hand_covers_every_number(fresh: Service) -> None:
    where = path(fresh, "general", "/sms-consent")
    consent = fresh.call("POST", where, {"line": LINE, "reason": "asked at the desk"}, role="staff").json["sms_consent"]
    assert consent["display"] == "Opted Out of 2 numbers"
    assert {(one["line"], one["number"], one["authority"]) for one in consent["opted_out"]} == {
        (LINE, CELL, "staff"),
        (LINE, HOME, "staff"),
    }
    everywhere = fresh.call("POST", where, {"all_lines": True}, role="enterprise").json["sms_consent"]["opted_out"]
    assert None in {one["line"] for one in everywhere}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"line": LINE, "all_lines": True},
        {"line": ""},
        {"value": "granted"},
        {"line": LINE, "opted_in": True},
        {"line": LINE, "kind": "opt_in"},
        {"line": LINE, "kind": "opt_in", "number": HOME},
        {"line": LINE, "kind": "opt_in", "number": HOME, "reason": " "},
        {"line": LINE, "kind": "opt_in", "reason": "asked"},
        {"line": LINE, "number": HOME},
        {"line": LINE, "kind": "granted"},
    ],
)
def test_a_manual_record_must_be_complete(service: Service, body: Any) -> None:
    assert service.call("POST", path(service, "general", "/sms-consent"), body, role="staff").status == 422


OPT_IN = {"kind": "opt_in", "line": LINE, "number": HOME, "reason": "asked at the desk"}


def test_an_opt_in_is_refused_unless_the_policy_allows_it(fresh: Service) -> None:
    where = path(fresh, "general", "/sms-consent")
    fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": HOME, "body": "STOP"})
    for role in ("staff", "enterprise"):
        refused = fresh.call("POST", where, OPT_IN, role=role)
        assert (refused.status, refused.json["code"]) == (409, "opt_in_off")
    assert fresh.patient()["sms_consent"]["display"] == "Opted Out of 1 number"
    assert "recorded_sms_opt_in" not in {one["action"] for one in fresh.call("GET", "/v1/audit", role="auditor").json}


def test_with_the_policy_staff_record_an_opt_in_and_it_is_in_the_audit_log(fresh: Service) -> None:
    where = path(fresh, "general", "/sms-consent")
    fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": HOME, "body": "STOP"})
    settings = fresh.call("PUT", "/v1/settings", {"staff_may_record_opt_in": True}, role="enterprise")
    assert settings.json["staff_may_record_opt_in"] is True
    answered = fresh.call("POST", where, OPT_IN, role="staff")
    assert (answered.status, answered.json["sms_consent"]["display"]) == (200, "Opted In")
    (line,) = (one for one in fresh.call("GET", "/v1/audit", role="auditor").json if one["action"] == "recorded_sms_opt_in")
    assert (line["actor"], line["subject"]) == ("staff:staff of general", answered.json["id"])
    assert line["detail"] == {"line": LINE, "topic": None, "reason": "asked at the desk"}
    shared = fresh.call("POST", where, {**OPT_IN, "number": CELL}, role="staff")
    assert (shared.status, shared.json["code"]) == (422, "value_refused")
    assert fresh.call("POST", where, OPT_IN, role="manager").status == 403
    fresh.call("PUT", "/v1/settings", {"staff_may_record_opt_in": False}, role="enterprise")
    assert fresh.call("POST", where, OPT_IN, role="staff").status == 409


def test_a_stop_opts_out_every_patient_with_the_number(fresh: Service) -> None:
    reply = fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "stop!"}).json
    assert reply == {"recognised": "opt_out", "scope": "line", "confirmation": "opt_out_confirmed", "patients": 2}
    for value in ("MRN1", "MRN2"):
        assert fresh.patient(value)["sms_consent"]["display"] == "Opted Out of 1 number"
    again = fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "STOP"}).json
    assert again["confirmation"] == "none"
    history = fresh.call("GET", path(fresh, "general", "/history"), role="staff").json
    repeated, entry = (one for one in history if one["attribute"] == "sms_consent")
    assert repeated["before"]["state"] == repeated["after"]["state"] == "opted_out"
    assert entry["before"] == {"state": "opted_in"}
    assert entry["after"] == {"state": "opted_out", "kind": "opt_out", "line": LINE, "topic": None, "numbers": [CELL]}
    changes = fresh.call("GET", "/v1/changes?after=0").body.decode()
    assert '"sms_consent"' in changes
    assert CELL not in changes


@pytest.mark.parametrize("written", ["(217) 555-0101", "2175550101", "217.555.0101", "12175550101", "0012175550101", "tel:+1-217-555-0101"])
def test_a_stop_matches_its_number_in_every_carrier_format(fresh: Service, written: str) -> None:
    reply = fresh.call("POST", "/v1/sms-replies", {"line": "(217) 555-0190", "from": written, "body": "STOP"}).json
    assert (reply["confirmation"], reply["patients"]) == ("opt_out_confirmed", 2)
    opt_outs = fresh.patient()["sms_consent"]["opted_out"]
    assert [(one["line"], one["number"]) for one in opt_outs] == [(LINE, CELL)]


def test_a_stop_covers_every_possible_number_and_a_start_only_one(fresh: Service) -> None:
    reply = {"line": LINE, "from": "4794234567"}  # of Norway without its plus, of Arkansas without its country code
    assert fresh.call("POST", "/v1/sms-replies", reply | {"body": "START"}).status == 422
    assert fresh.call("POST", "/v1/sms-replies", reply | {"body": "STOP"}).json["recognised"] == "opt_out"
    report = fresh.call("GET", "/v1/sms-consent/report", role="manager").json
    assert {one["number"] for one in report} == {"+14794234567", "+4794234567"}


def test_start_lifts_the_stop(fresh: Service) -> None:
    fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "STOP"})
    reply = fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "start"}).json
    assert (reply["recognised"], reply["confirmation"]) == ("opt_in", "opt_in_confirmed")
    assert fresh.patient()["sms_consent"]["display"] == "Opted In"


def test_start_does_not_lift_an_opt_out_recorded_by_staff(fresh: Service) -> None:
    fresh.call("POST", path(fresh, "general", "/sms-consent"), {"line": LINE}, role="staff")
    reply = fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "START"}).json
    assert reply["confirmation"] == "still_opted_out"
    assert fresh.patient()["sms_consent"]["display"] == "Opted Out of 2 numbers"


def test_a_reply_without_a_keyword_changes_nothing(fresh: Service) -> None:
    reply = fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "see you at noon"}).json
    assert (reply["recognised"], reply["confirmation"]) == (None, "none")
    assert fresh.patient()["version"] == 1


@pytest.mark.parametrize(
    "body",
    [{"line": LINE, "body": "STOP"}, {"line": LINE, "from": "five five five", "body": "STOP"}, {"line": LINE, "from": CELL, "body": 1}],
)
def test_a_bad_reply_is_refused(service: Service, body: Any) -> None:
    assert service.call("POST", "/v1/sms-replies", body).status == 422


@pytest.mark.parametrize("path", ["/v1/patients/lookup", "/v1/decisions"])
def test_a_patient_is_named_in_either_shape(service: Service, path: str) -> None:
    role, rest = ("staff", {}) if path.endswith("lookup") else ("sender", {"message_type": "manual", "channels": ["sms"], "line": LINE})
    for who in ({"value": "MRN1"}, {"authority": "GENHOSP", "type": "MR", "value": "MRN1"}, {"id": service.patient()["id"]}):
        found = [service.call("POST", path, shape | rest, role=role) for shape in (who, {"patient": who})]
        assert [one.status for one in found] == [200, 200]
        first, second = (one.json | {"id": ""} for one in found)
        assert first == second
    for wrong in ({}, {"authority": "GENHOSP"}, {"patient": {"value": "MRN1"}, "value": "MRN2"}, {"patient": {}}, {"value": "\0"}):
        assert service.call("POST", path, wrong | rest, role=role).status == 422


def test_a_batch_takes_both_shapes(service: Service) -> None:
    message = {"message_type": "manual", "channels": ["sms"]}
    asks = [{"value": "MRN1"} | message, {"patient": {"value": "MRN1"}} | message, {"authority": "GENHOSP"} | message]
    decisions = service.call("POST", "/v1/decisions/batch", asks).json
    assert [one["decision"] for one in decisions] == ["send", "send", "do_not_send"]
    assert decisions[2]["reasons"] == ["ask_invalid"]
