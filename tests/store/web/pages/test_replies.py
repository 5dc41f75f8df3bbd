"""The queue of unclear replies as a page: the patient's text, two buttons, and a form that works without scripts."""

from __future__ import annotations

import pytest

from store.domain.patient import PatientRef
from tests.store.web.conftest import CELL, LINE, NOW
from tests.store.web.pages.conftest import Pages

ORDER = "please cancel my order"


def unclear(pages: Pages, enterprise: str = "general", body: str = ORDER) -> str:
    """Creates an unclear reply; gives its id."""
    pages.store.record_reply(enterprise, LINE, CELL, body, NOW, NOW)
    (found, *_) = pages.store.replies.some(enterprise)
    return found.id


def test_an_empty_queue_explains_itself(fresh_pages: Pages) -> None:
    assert "No replies to review." in fresh_pages.signed_in("staff").get("/replies").text


@pytest.mark.parametrize(("role", "may"), [("enterprise", True), ("staff", True), ("manager", False), ("auditor", False)])
def test_people_see_the_reply_and_some_roles_can_decide(fresh_pages: Pages, role: str, may: bool) -> None:
    unclear(fresh_pages, body="stop by <b>at noon</b>")
    seen = fresh_pages.signed_in(role).get("/replies")
    assert "“stop by <b>at noon</b>”" in seen.text
    assert "<b>at noon" not in seen.response.text, "the patient's text must be escaped"
    assert ("Not an opt-out" in seen.text) is may
    assert f'href="{fresh_pages.patient("MRN1")}"' in seen.response.text


def test_operators_cannot_see_replies(fresh_pages: Pages) -> None:
    assert fresh_pages.signed_in("operator").get("/replies").status == 403


@pytest.mark.parametrize(
    ("decision", "message", "opted_out"), [("opt_out", "recorded as an opt-out", True), ("dismiss", "was dismissed", False)]
)
def test_a_person_decides_with_a_form(fresh_pages: Pages, decision: str, message: str, opted_out: bool) -> None:
    number = unclear(fresh_pages)
    browser = fresh_pages.signed_in("staff")
    assert "no longer on file" not in browser.get(fresh_pages.patient("MRN1")).text
    assert "unclear reply, needs review" in browser.get(fresh_pages.patient("MRN1")).text
    browser.get("/replies")
    seen = browser.get(browser.post(f"/replies/{number}", decision=decision, reason="phoned them").where)
    assert message in seen.text
    assert "phoned them" in seen.text
    assert "No replies to review." in seen.text
    patient = fresh_pages.store.find("general", PatientRef(value="MRN1"))
    assert [one.authority for one in patient.opt_outs] == (["patient"] if opted_out else [])
    again = browser.post(f"/replies/{number}", decision=decision)
    assert (again.status, "already" in again.text) == (412, True)


def test_an_opt_out_that_may_cancel_an_appointment_is_shown_until_it_is_handled(fresh_pages: Pages) -> None:
    fresh_pages.store.record_reply("general", LINE, CELL, "CANCEL", NOW, NOW)
    (waits,) = fresh_pages.store.replies.some("general", "appointment")
    browser = fresh_pages.signed_in("staff")
    assert "May also cancel an appointment" in browser.get("/replies").text
    seen = browser.get(browser.post(f"/replies/{waits.id}", decision="handled", reason="cancelled it").where)
    assert "was marked as handled" in seen.text
    assert "May also cancel an appointment" not in seen.text
    assert "cancelled it" in seen.text
    assert "Mark as handled" not in fresh_pages.signed_in("manager").get("/replies").text


def test_an_invalid_decision_is_refused(fresh_pages: Pages) -> None:
    number = unclear(fresh_pages)
    browser = fresh_pages.signed_in("enterprise")
    browser.get("/replies")
    assert browser.post(f"/replies/{number}", decision="maybe").status == 422
    assert browser.post("/replies/rep_0", decision="dismiss").status == 404


def test_a_reply_belongs_to_one_enterprise(fresh_pages: Pages) -> None:
    number = unclear(fresh_pages, "local", "I stop by at noon")
    browser = fresh_pages.signed_in("enterprise")
    assert "at noon" not in browser.get("/replies").text
    assert browser.post(f"/replies/{number}", decision="dismiss").status == 404
