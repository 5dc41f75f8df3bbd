"""``POST /v1/patients/by-phone``: who has a number, by the rules of the search on the pages. The number is in no URL."""

from __future__ import annotations

import pytest

from store.audit.audit_log import SEARCHED, SEARCHES, Audit
from tests.store.web.conftest import CELL, HOME, Service

PATH = "/v1/patients/by-phone"


@pytest.mark.parametrize("phone", [CELL, "(217) 555-0101", "2175550101"])
@pytest.mark.parametrize("role", ["enterprise", "manager", "staff", "auditor"])
def test_everybody_with_the_number_is_found(service: Service, phone: str, role: str) -> None:
    found = service.call("POST", PATH, {"phone": phone}, role=role)
    assert (found.status, found.json["more"]) == (200, False)
    names = [one["identifiers"][0]["value"] for one in found.json["patients"]]
    assert (sorted(names), {one["in_force"] for one in found.json["patients"]}) == (["MRN1", "MRN2"], {True})


def test_a_number_of_one_patient_finds_only_that_one_by_the_store_s_id(service: Service) -> None:
    (one,) = service.call("POST", PATH, {"phone": HOME}, role="staff").json["patients"]
    assert one["id"] == service.patient("MRN1")["id"]


def test_a_number_of_nobody_finds_nobody(service: Service) -> None:
    assert service.call("POST", PATH, {"phone": "+12175550777"}, role="staff").json == {"patients": [], "more": False}


@pytest.mark.parametrize("body", [{}, {"phone": ""}, {"phone": "pat"}, {"phone": "12"}, {"phone": CELL, "name": "x"}, {"phone": "1\0"}])
def test_what_is_no_phone_number_is_refused_and_not_repeated(service: Service, body: dict[str, str]) -> None:
    reply = service.call("POST", PATH, body, role="staff")
    assert reply.status == 422
    assert "pat" not in reply.json["detail"].replace("patient", "")


def test_senders_may_not_look_for_numbers(service: Service) -> None:
    assert service.call("POST", PATH, {"phone": CELL}).status == 403


def test_the_policy_of_the_search_applies(fresh: Service) -> None:
    assert fresh.call("PUT", "/v1/settings", {"search": "identifiers"}, role="enterprise").status == 200
    refused = fresh.call("POST", PATH, {"phone": CELL}, role="staff")
    assert (refused.status, refused.json["code"]) == (409, "search_off")
    assert CELL not in refused.body.decode()


def test_each_question_is_in_the_audit_log_without_the_number(fresh: Service) -> None:
    fresh.call("POST", PATH, {"phone": CELL}, role="staff")
    (line,) = [one.line for one in Audit(fresh.store.database).newest("general", SEARCHES) if one.line.action == SEARCHED]
    assert '"phone"' in line.detail
    assert CELL not in line.detail
    assert fresh.patient("MRN1")["id"] in line.detail
