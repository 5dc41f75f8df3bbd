"""The EMR worklist as a page: what is to be typed in, the tick, and the file. For enterprises with such an EMR only."""

from __future__ import annotations

import csv
import io

import pytest
from playwright.sync_api import Browser, expect

from store.audit.audit_log import TYPED_IN, VIEWED_WORKLIST, Audit
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from tests.store.web.conftest import NOW
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab
from tests.store.web.pages.conftest import Pages
from tests.store.web.pages.keyboard import enter, press
from tests.store.web.pages.test_in_a_browser import violations

ENTERPRISE = "quiet"
PHONE = 390


def opted_out(pages: Pages, value: str = "MRN1") -> str:
    """Opts a patient out of all texts; gives their id."""
    store, staff = pages.store, Actor(Role.STAFF, "desk")
    patient = store.find(ENTERPRISE, PatientRef(value=value)).id
    store.record_sms_opt_out(ENTERPRISE, patient, line=None, topic=None, actor=staff, reason="asked", now=NOW)
    return patient


@pytest.mark.parametrize(("role", "may"), [("enterprise", True), ("staff", True), ("manager", False), ("auditor", False)])
def test_people_see_the_list_and_some_roles_can_tick(fresh_pages: Pages, role: str, may: bool) -> None:
    patient = opted_out(fresh_pages)
    browser = fresh_pages.signed_in(role, ENTERPRISE)
    seen = browser.get("/worklist")
    assert "MRN1" in seen.text
    assert "Practice EMR" in seen.text
    assert f'href="/patients/{patient}"' in seen.response.text
    assert ("Typed in" in seen.text) is may
    ticked = browser.post("/worklist/done", source="practice", patient=patient, attribute="consent.sms")
    assert ticked.status == (303 if may else 403)
    assert ("Nothing to type in." in browser.get("/worklist").text) is may


def test_operators_do_not_see_the_list(fresh_pages: Pages) -> None:
    assert fresh_pages.signed_in("operator", ENTERPRISE).get("/worklist").status == 403


def test_a_tick_is_confirmed_and_a_second_one_says_so(fresh_pages: Pages) -> None:
    patient = opted_out(fresh_pages)
    browser = fresh_pages.signed_in("staff", ENTERPRISE)
    browser.get("/worklist")
    form = {"source": "practice", "patient": patient, "attribute": "consent.sms"}
    seen = browser.get(browser.post("/worklist/done", **form).where)
    assert "Marked as typed in." in seen.text
    assert "Nothing to type in." in seen.text
    again = browser.post("/worklist/done", **form)
    assert (again.status, "no longer on the list" in again.text) == (409, True)
    lines = [link.line for link in Audit(fresh_pages.store.database).newest(ENTERPRISE)]
    assert [(one.subject, one.actor) for one in lines if one.action == TYPED_IN] == [(patient, "staff:staff-quiet")]
    assert VIEWED_WORKLIST in {one.action for one in lines}


def test_a_wrong_tick_is_put_back_and_the_file_shows_what_was_typed_in(fresh_pages: Pages) -> None:
    patient = opted_out(fresh_pages)
    browser = fresh_pages.signed_in("staff", ENTERPRISE)
    browser.get("/worklist")
    form = {"source": "practice", "patient": patient, "attribute": "consent.sms"}
    assert browser.post("/worklist/undo", **form).status == 409
    browser.post("/worklist/done", **form)
    assert "Recently typed in" in browser.get("/worklist").text
    (row,) = csv.DictReader(io.StringIO(browser.post("/worklist/file").response.text))
    assert (row["patient"], row["typed_in_at"] != "") == (patient, True)
    seen = browser.get(browser.post("/worklist/undo", **form).where)
    assert ("Back on the list." in seen.text, "Recently typed in" in seen.text) == (True, False)
    (row,) = csv.DictReader(io.StringIO(browser.post("/worklist/file").response.text))
    assert (row["patient"], row["typed_in_at"]) == (patient, "")
    manager = fresh_pages.signed_in("manager", ENTERPRISE)
    manager.get("/worklist")
    assert manager.post("/worklist/undo", **form).status == 403


@pytest.mark.parametrize("form", [{}, {"patient": "pt_0"}, {"patient": "pt_0000000000000001", "source": "none", "attribute": "x"}])
def test_an_invalid_tick_changes_nothing(fresh_pages: Pages, form: dict[str, str]) -> None:
    opted_out(fresh_pages)
    browser = fresh_pages.signed_in("staff", ENTERPRISE)
    browser.get("/worklist")
    assert browser.post("/worklist/done", **form).status == 409
    assert "MRN1" in browser.get("/worklist").text


def test_another_enterprise_can_neither_see_nor_tick(fresh_pages: Pages) -> None:
    patient = opted_out(fresh_pages)
    browser = fresh_pages.signed_in("staff", "general")
    assert "Nothing to type in." in browser.get("/worklist").text
    assert browser.post("/worklist/done", source="practice", patient=patient, attribute="consent.sms").status == 409
    assert "MRN1" in fresh_pages.signed_in("staff", ENTERPRISE).get("/worklist").text


def test_the_menu_has_the_list_only_where_an_emr_needs_it(fresh_pages: Pages) -> None:
    assert "EMR worklist" in fresh_pages.signed_in("staff", ENTERPRISE).get("/patients").text
    assert "EMR worklist" not in fresh_pages.signed_in("staff", "general").get("/patients").text


def test_the_file_has_what_the_page_has(fresh_pages: Pages) -> None:
    patient = opted_out(fresh_pages)
    browser = fresh_pages.signed_in("manager", ENTERPRISE)
    browser.get("/worklist")
    response = browser.post("/worklist/file").response
    assert response.headers["content-disposition"] == 'attachment; filename="emr-worklist.csv"'
    (row,) = csv.DictReader(io.StringIO(response.text))
    assert (row["emr"], row["patient"], row["opt_out_from"]) == ("Practice EMR", patient, "texts")
    assert row["identifiers"] == "MR:MRN1"


def test_an_opt_out_is_ticked_off_with_the_keyboard_alone_on_a_phone(chrome: Browser, fresh_pages: Pages) -> None:
    opted_out(fresh_pages)
    with opened_tab(chrome, fresh_pages.url) as tab:
        tab.set_viewport_size({"width": PHONE, "height": 800})
        enter(tab, fresh_pages, "staff", ENTERPRISE)
        press(tab, "EMR worklist")
        expect(tab.get_by_role("heading", name="EMR worklist")).to_be_visible()
        assert tab.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert violations(tab) == []
        press(tab, "Typed in")
        expect(tab.get_by_role("status")).to_have_text("Marked as typed in.")
        expect(tab.get_by_text("Nothing to type in.")).to_be_visible()
        assert violations(tab) == []
        assert tab.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        press(tab, "Put back")
        expect(tab.get_by_role("status")).to_have_text("Back on the list.")
