"""The page that finds a patient: by request, and in a real Chromium with the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from store.audit.audit_log import SEARCHES, Audit
from store.domain import documents
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from tests.store.web.conftest import CELL, NOW, statements
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab
from tests.store.web.pages.conftest import Browser, Pages, Seen
from tests.store.web.pages.test_in_a_browser import enter, violations

BOX = "Name, birth date, phone or identifier"
PEOPLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ANA", {"display_name": "Ana García-López", "birth_date": "1980-02-03", "do_not_contact": "yes"}),
    ("ANABEL", {"display_name": "Anabel Smith", "birth_date": "1975", "deceased": True, "do_not_contact": "no"}),
    ("MARKED", {"display_name": "<b>Bold</b> & Co", "birth_date": "1999-12"}),
)


def know(pages: Pages, *people: tuple[str, dict[str, Any]], enterprise: str = "general", source: str = "genhosp-adt") -> None:
    """The store receives these patients."""
    for value, stated in people:
        with pages.store.database.write(enterprise) as transaction:
            pages.store.apply_many(transaction, enterprise, source, [statements(value, f"{value}-1", **stated)], now=NOW)


@pytest.fixture(scope="module")
def desk(pages: Pages) -> Pages:
    """The module's pages with people whose names are kept."""
    know(pages, *PEOPLE)
    know(pages, *((f"MANY{number:02d}", {"display_name": f"Many{number:02d} Smithson"}) for number in range(30)))
    return pages


def results(browser: Browser, text: str) -> Seen:
    """The results of a search that finds somebody."""
    found = browser.post("/patients", value=text)
    assert (found.status, found.where.partition("?")[0]) == (303, "/patients")
    return browser.get(found.where)


@pytest.mark.parametrize("role", ["staff", "enterprise", "manager", "auditor"])
def test_results_show_name_birth_date_identifiers_and_do_not_contact(desk: Pages, role: str) -> None:
    seen = results(desk.signed_in(role), "an")
    assert "2 patients Name Born Identifiers Do Not Contact" in seen.text
    assert "Ana García-López 3 Feb 1980 GENHOSP MR ANA DO NOT CONTACT" in seen.text
    assert "Anabel Smith DECEASED 1975 GENHOSP MR ANABEL off" in seen.text
    assert f'href="{desk.patient("ANA")}"' in seen.response.text


def test_operators_and_strangers_cannot_search(desk: Pages) -> None:
    assert desk.signed_in("operator").post("/patients", value="ana").status == 403
    assert desk.stranger().post("/patients", value="ana").where == "/sign-in?again=unsaved"


def test_how_a_date_or_number_was_read_is_shown(desk: Pages) -> None:
    assert "Searched for: born 3 Feb 1980" in results(desk.signed_in("staff"), "gar 2/3/1980").text
    assert "Searched for: phone +1 217-555-0101" in results(desk.signed_in("staff"), "(217) 555-0101").text


def test_the_only_patient_with_an_identifier_is_opened_at_once_and_one_with_a_name_is_not(desk: Pages) -> None:
    browser = desk.signed_in("staff")
    assert browser.post("/patients", value="GENHOSP|ANA").where == desk.patient("ANA")
    assert browser.post("/patients", value="anabel").where == desk.patient("ANABEL"), "also found by name"
    assert "2 patients" in results(browser, "ANA").text, "also the beginning of a name"
    assert "1 patient" in results(browser, "garcia").text


def test_more_than_25_patients_ask_to_refine(desk: Pages) -> None:
    seen = results(desk.signed_in("staff"), "smithson")
    assert "More than 25 patients" in seen.text
    assert "These are the first 25. To refine, add more of the name, or the birth date" in seen.text
    assert seen.response.text.count('class="person-name"') == 25


def test_a_name_is_text_and_never_markup(desk: Pages) -> None:
    seen = results(desk.signed_in("staff"), "bold")
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp; Co" in seen.response.text
    assert "<b>" not in seen.response.text
    typed = desk.signed_in("staff").post("/patients", value='"><script>alert(1)</script>')
    assert (typed.status, "<script>" in typed.response.text) == (404, False)


@pytest.mark.parametrize(("text", "status"), [("zzyzx", 404), ("", 422), ("   ", 422), ("x" * 201, 422)])
def test_what_finds_nobody_says_what_to_do(desk: Pages, text: str, status: int) -> None:
    seen = desk.signed_in("staff").post("/patients", value=text)
    assert (seen.status, 'role="alert"' in seen.response.text) == (status, True)


def test_no_url_contains_what_was_typed_or_found(desk: Pages) -> None:
    browser = desk.signed_in("staff")
    where = browser.post("/patients", value="gar 2/3/1980").where
    assert not any(part in where.lower() for part in ("gar", "1980", "ana", "%"))
    assert "found" in parse_qs(urlsplit(where).query)


def test_the_address_of_results_is_worth_nothing_to_others_or_in_another_enterprise(desk: Pages) -> None:
    browser = desk.signed_in("staff")
    where = browser.post("/patients", value="garcia").where
    assert "Ana García" in browser.get(where).text
    for other in (desk.signed_in("staff"), desk.signed_in("enterprise"), desk.signed_in("staff", "local")):
        assert "Ana García" not in other.get(where).text
    for damaged in (where[:-3], f"{where}A", *(f"/patients?found={text}" for text in ("", "%C3%A9", "AAAA", "A" * 5000))):
        seen = browser.get(damaged)
        assert (seen.status, "Ana García" in seen.text) == (200, False)


def test_results_are_shown_as_they_are_now(fresh_pages: Pages) -> None:
    know(fresh_pages, *PEOPLE)
    browser = fresh_pages.signed_in("staff")
    where = browser.post("/patients", value="garcia").where
    know(fresh_pages, ("ANA", {"display_name": "Ana Miller"}))
    assert "Ana Miller" in browser.get(where).text


def test_a_search_is_one_entry_in_the_audit_log_without_what_was_looked_for(fresh_pages: Pages) -> None:
    know(fresh_pages, *PEOPLE)
    browser = fresh_pages.signed_in("staff")
    where = browser.post("/patients", value="garcia 1980").where
    browser.get(where)
    browser.get(where)
    browser.post("/patients", value="zzyzx")
    text = fresh_pages.signed_in("auditor").get("/audit?subject=searches").text
    assert text.count("searched patients") == 2
    assert "staff:staff-general searched patients searches by identifier, birth date, name; 1 found" in text
    assert "garcia" not in text
    _, first = Audit(fresh_pages.store.database).newest("general", SEARCHES)
    assert documents.read(first.line.detail)["patients"] == [fresh_pages.patient("ANA").removeprefix("/patients/")]


def test_another_enterprise_finds_nobody(desk: Pages) -> None:
    here = desk.patient("ANA").removeprefix("/patients/")
    for text in ("garcia", "2/3/1980", "ANA", here):
        assert desk.signed_in("staff", "local").post("/patients", value=text).status == 404


def test_the_policy_switches_names_and_phones_off(fresh_pages: Pages) -> None:
    know(fresh_pages, *PEOPLE)
    fresh_pages.store.settings.put("general", {"search": "identifiers"}, actor=Actor(Role.ENTERPRISE, "pat"), now=NOW)
    browser = fresh_pages.signed_in("staff")
    assert "Search by name is turned off for this enterprise." in browser.get("/patients").text
    for text in ("garcia", "2/3/1980", CELL):
        seen = browser.post("/patients", value=text)
        assert (seen.status, "No patient has this identifier." in seen.text) == (404, True)
    assert browser.post("/patients", value="ANA").where == fresh_pages.patient("ANA")


def test_without_a_toggle_do_not_contact_is_not_shown(fresh_pages: Pages) -> None:
    know(fresh_pages, *PEOPLE, enterprise="quiet", source="practice")
    seen = results(fresh_pages.signed_in("staff", "quiet"), "an")
    assert "Ana García-López" in seen.text
    assert "do not contact" not in seen.text.lower()


def test_recent_patients_are_the_users_own(fresh_pages: Pages) -> None:
    know(fresh_pages, *PEOPLE)
    browser = fresh_pages.signed_in("staff")
    assert "Recent patients" not in browser.get("/patients").text
    for value in ("ANA", "MRN1"):
        browser.get(fresh_pages.patient(value))
    text = browser.get("/patients").text
    assert text.index("MRN1") < text.index("Ana García-López")
    assert "Recent patients" not in fresh_pages.signed_in("manager").get("/patients").text


def test_names_that_are_not_indexed_yet_are_admitted(fresh_pages: Pages) -> None:
    know(fresh_pages, *PEOPLE)
    with fresh_pages.store.database.write("general") as transaction:
        transaction.exec_driver_sql("UPDATE patients SET search_entry = NULL WHERE id <> 1")
    browser = fresh_pages.signed_in("staff")
    assert "because the index is being built" in browser.post("/patients", value="zzyzx").text
    assert "because the index is being built" in results(browser, "garcia").text


def test_a_facesheet_shows_the_birth_date_as_it_is_known(desk: Pages) -> None:
    browser = desk.signed_in("staff")
    for value, shown in (("ANA", "Born 3 Feb 1980"), ("ANABEL", "Born 1975"), ("MARKED", "Born Dec 1999")):
        assert shown in browser.get(desk.patient(value)).text
    assert "Born" not in browser.get(desk.patient("MRN1")).text
    found = desk.store.find("general", PatientRef(value="ANA"))
    assert found.preferences["birth_date"].assertion.path == "PID"


@pytest.fixture
def tab(chrome: Chromium, desk: Pages) -> Iterator[Page]:
    with opened_tab(chrome, desk.url) as page:
        yield page


def test_with_the_keyboard_alone_from_the_box_to_a_facesheet_and_back(tab: Page, desk: Pages) -> None:
    enter(tab, desk, "staff")
    expect(tab.get_by_label(BOX)).to_be_focused()
    tab.keyboard.type("an")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="2 patients")).to_be_visible()
    expect(tab.get_by_label(BOX)).to_have_value("an")
    assert violations(tab) == []
    tab.keyboard.type("gar an")  # replaces what is in the box
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="1 patient", exact=True)).to_be_visible()
    expect(tab.get_by_label(BOX)).to_have_value("gar an")
    link = tab.get_by_role("link", name="Ana García-López")
    for _ in range(5):
        tab.keyboard.press("Tab")
        if link.evaluate("one => one === document.activeElement"):
            break
    expect(link).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Ana García-López")).to_be_visible()
    expect(tab.get_by_text("Born 3 Feb 1980")).to_be_visible()
    tab.go_back()
    expect(tab.get_by_role("heading", name="1 patient", exact=True)).to_be_visible()
    tab.go_back()
    expect(tab.get_by_role("heading", name="2 patients")).to_be_visible()
    tab.reload()
    expect(tab.get_by_role("heading", name="2 patients")).to_be_visible()
    tab.goto("/patients")
    recent = tab.get_by_role("region", name="Table of recent patients")
    expect(recent.get_by_role("link", name="Ana García-López")).to_be_visible()
    assert violations(tab) == []


def test_the_link_to_refine_leads_to_the_box(tab: Page, desk: Pages) -> None:
    enter(tab, desk, "enterprise")
    tab.keyboard.type("smithson")
    tab.keyboard.press("Enter")
    tab.get_by_role("link", name="add more of the name, or the birth date").focus()
    tab.keyboard.press("Enter")
    expect(tab.get_by_label(BOX)).to_be_focused()
    tab.keyboard.type(" many07")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="1 patient", exact=True)).to_be_visible()
