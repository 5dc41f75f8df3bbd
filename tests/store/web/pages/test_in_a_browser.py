"""User actions on the pages, in a real Chromium. test_open_to_everybody covers the look of every page, test_keyboard the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from store.users.throttle import PACE_BOTH
from store.web.pages.labels import number
from tests.store.web.conftest import CELL, LINE
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab
from tests.store.web.pages.conftest import Pages
from tests.store.web.pages.keyboard import tab_to
from tests.store.web.pages.test_console import dnc, held, rejected
from tests.store.web.pages.test_decisions import decided
from tests.store.web.pages.test_sources import record_intake

SERIOUS = {"serious", "critical"}
PHONE, DESK = 320, 1280


@pytest.fixture
def tab(chrome: Browser, fresh_pages: Pages) -> Iterator[Page]:
    with opened_tab(chrome, fresh_pages.url) as page:
        yield page


def enter(tab: Page, pages: Pages, role: str, enterprise: str = "general") -> None:
    """Signs in by the form."""
    name, password = pages.user(role, enterprise)
    tab.goto("/sign-in")
    tab.get_by_label("Name").fill(name)
    tab.get_by_label("Password").fill(password)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("button", name="Sign out")).to_be_visible()


def violations(tab: Page) -> list[tuple[str, Any]]:
    """The accessibility violations that axe finds."""
    found = Axe().run(tab).response["violations"]
    return [(one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in SERIOUS]


def test_the_toggle_is_switched_with_the_keyboard_alone(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "enterprise", "local")
    tab.get_by_label("Identifier").fill("MRN1")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Do Not Contact: unknown")).to_be_visible()
    tab.get_by_text("Turn on …").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.keyboard.type("asked at the desk")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status")).to_have_text("Do Not Contact was changed.")
    expect(tab.get_by_role("heading", name="Do Not Contact: on")).to_be_visible()
    expect(tab.get_by_text("“asked at the desk”")).to_be_visible()


def test_a_toggle_change_without_a_reason_is_not_sent(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "enterprise", "local")
    tab.goto(fresh_pages.patient(enterprise="local"))
    tab.get_by_text("Turn on …").click()
    tab.get_by_role("button", name="Turn Do Not Contact on").click()
    expect(tab.get_by_role("heading", name="Do Not Contact: unknown")).to_be_visible()


def test_a_toggle_change_based_on_an_old_version_is_refused(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "enterprise", "local")
    where = fresh_pages.patient(enterprise="local")
    tab.goto(where)
    other = fresh_pages.signed_in("enterprise", "local")
    other.get(where)
    assert other.post(f"{where}/do-not-contact", value="yes", reason="first").status == 303
    tab.get_by_text("Turn on …").click()
    tab.get_by_label("Reason (kept in the history)").fill("second")
    tab.get_by_role("button", name="Turn Do Not Contact on").click()
    expect(tab.get_by_role("alert")).to_contain_text("read it again before changing it")


def test_a_locked_toggle_shows_where_to_change_it(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "enterprise")
    tab.goto(fresh_pages.patient("MRN2"))
    expect(tab.get_by_role("heading", name="Do Not Contact: on locked")).to_be_visible()
    expect(tab.locator(".lock-note")).to_contain_text("update this patient in General Hospital EMR")
    expect(tab.get_by_text("Turn off …")).to_have_count(0)


def test_why_texts_are_blocked_is_read_with_the_keyboard_alone(tab: Page, fresh_pages: Pages) -> None:
    fresh_pages.store.record_reply("general", LINE, CELL, "STOP", fresh_pages.moment(), fresh_pages.moment())
    enter(tab, fresh_pages, "staff")
    tab.goto(fresh_pages.patient())
    tab_to(tab, "Texts: blocked from +1 217-555-0190 (STOP on")
    expect(tab.get_by_text("A STOP ends when the patient texts START")).not_to_be_visible()
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("A STOP ends when the patient texts START")).to_be_visible()
    expect(tab.get_by_text("Other texts are allowed.")).to_be_visible()


def test_a_question_is_asked_with_the_keyboard_alone(tab: Page, fresh_pages: Pages) -> None:
    fresh_pages.store.record_reply("general", LINE, CELL, "STOP", fresh_pages.moment(), fresh_pages.moment())
    enter(tab, fresh_pages, "staff")
    tab.get_by_label("Identifier").fill("MRN1")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="What would a sender be told?")).to_be_visible()
    tab_to(tab, "Ask about a message")
    tab.keyboard.press("Enter")
    tab_to(tab, "Message type")
    tab.keyboard.type("broadcast")
    tab_to(tab, "e-mail")
    tab.keyboard.press("Space")
    tab_to(tab, "Line")
    tab.keyboard.type(LINE)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name=f"This message: Send by call to {number(CELL)}")).to_be_visible()
    expect(tab.locator("#answer")).to_contain_text("sms_opted_out")
    expect(tab.get_by_role("heading", name="What would a sender be told?")).to_be_focused()
    assert LINE not in tab.url
    assert CELL not in tab.url
    expect(tab.get_by_label("Line", exact=True)).to_have_value(LINE)
    expect(tab.get_by_role("checkbox", name="e-mail", exact=True)).not_to_be_checked()


def test_a_decision_is_found_with_the_keyboard_alone(tab: Page, fresh_pages: Pages) -> None:
    decision = decided(fresh_pages, "general")
    enter(tab, fresh_pages, "auditor")
    tab_to(tab, "Decisions")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Find a decision")).to_be_visible()
    tab_to(tab, "Decision ID")
    tab.keyboard.type(decision)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Answer: Do not send")).to_be_visible()
    expect(tab.get_by_text(decision)).to_be_visible()
    tab_to(tab, "this patient")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Communication settings")).to_be_visible()


def test_without_scripts_the_reasons_and_the_question_work(chrome: Browser, fresh_pages: Pages) -> None:
    context = chrome.new_context(base_url=fresh_pages.url, java_script_enabled=False)
    tab = context.new_page()
    enter(tab, fresh_pages, "staff")
    tab.goto(fresh_pages.patient("MRN2"))
    tab.get_by_text("Automations: blocked").click()
    expect(tab.get_by_text("The patient must not be contacted by automations.").first).to_be_visible()
    tab.get_by_text("Ask about a message").click()
    tab.get_by_role("button", name="Ask", exact=True).click()
    expect(tab.get_by_role("heading", name="This message: Do not send")).to_be_visible()
    context.close()


def test_a_held_set_is_reviewed_and_rejected(tab: Page, fresh_pages: Pages) -> None:
    held(fresh_pages)
    enter(tab, fresh_pages, "operator")
    tab.get_by_role("link", name="Changes that would permit contact held for 1 patient").click()
    expect(tab.get_by_role("region", name="Held changes")).to_contain_text("yes → no")
    tab.get_by_text("Examples").click()
    expect(tab.get_by_text("ZCP-2")).to_be_visible()
    tab.get_by_role("button", name="Reject").click()
    expect(tab.get_by_role("status")).to_contain_text("Nothing else changes")
    assert dnc(fresh_pages) == "yes"


def test_a_rejection_is_viewed_and_replayed(tab: Page, fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    enter(tab, fresh_pages, "operator")
    tab.get_by_role("link", name="Rejections", exact=True).click()
    tab.get_by_role("region", name="Rejections, newest first").get_by_role("link").click()
    expect(tab.get_by_role("region", name="Masked content")).to_contain_text("PID|•||")
    tab.get_by_role("button", name="Replay").click()
    expect(tab.get_by_role("status")).to_contain_text("was replayed")
    assert fresh_pages.requested == [("replay", rejection, "operator-general")]


def test_a_cause_is_fixed_and_replayed_with_the_keyboard_alone(tab: Page, fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    enter(tab, fresh_pages, "operator")
    expect(tab.get_by_role("heading", name="Overview")).to_be_visible()
    tab_to(tab, "1 rejection: Code unmapped: Do Not Contact at PV1-18")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("region", name="Mapping rule to copy")).to_contain_text("CODE: CHOOSE")
    tab_to(tab, "Preview")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("would make 0 patients more contactable and 1 less.")).to_be_visible()
    tab_to(tab, "Replay it")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status")).to_have_text("1 of 1 replayed and resolved.")
    assert fresh_pages.requested == [("replay", rejection, "operator-general")]


def test_a_key_is_created_and_revoked_with_the_keyboard_alone(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "administrator")
    tab_to(tab, "API keys")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="API keys")).to_be_visible()
    tab_to(tab, "Who will use it")
    tab.keyboard.type("reminders")
    tab.keyboard.press("Enter")
    secret = tab.locator("code.secret").inner_text()
    assert fresh_pages.keys.verify(secret, fresh_pages.moment()) is not None
    tab_to(tab, "Revoke …")
    tab.keyboard.press("Enter")
    tab_to(tab, "Yes, revoke")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status")).to_have_text("The key was revoked, effective immediately.")
    assert fresh_pages.keys.verify(secret, fresh_pages.moment()) is None


def test_the_list_of_runs_refreshes_with_its_filter_and_keeps_the_focus(tab: Page, fresh_pages: Pages) -> None:
    journal, now = fresh_pages.journal, fresh_pages.moment()
    old = journal.finish(journal.start("genhosp-adt", "general", "full", now=now - timedelta(minutes=5)), "done", None, now)
    enter(tab, fresh_pages, "operator")
    tab.get_by_role("link", name="Runs", exact=True).click()
    tab.get_by_label("State").select_option("done")
    tab.get_by_role("button", name="Show", exact=True).click()
    table = tab.get_by_role("region", name="Runs, newest first")
    expect(table.get_by_role("row")).to_have_count(2)
    link = table.locator(f"a[href='/runs/{old.id}']")
    link.focus()
    journal.finish(journal.start("genhosp-adt", "general", "resync", now=now), "failed", "no answer", now)
    journal.finish(journal.start("genhosp-adt", "general", "resync", now=now), "done", None, now)
    tab.evaluate("document.querySelector('[data-live]').dataset.live = '1'")
    tab.evaluate("later()")
    expect(table.get_by_role("row")).to_have_count(3, timeout=20_000)
    expect(link).to_be_focused()
    expect(tab.get_by_label("State")).to_have_value("done")


def test_a_running_run_refreshes_itself(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "operator")
    tab.goto("/sources/genhosp-adt")
    tab.get_by_role("button", name="Resync now").click()
    expect(tab.get_by_text("RUNNING")).to_be_visible()
    run = fresh_pages.journal.runs("general", "genhosp-adt", 1)[0]
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.journal.progress(transaction, run, {"applied": 41}, None, now=fresh_pages.moment())
    expect(tab.get_by_text("41").first).to_be_visible(timeout=20_000)
    tab.get_by_role("link", name="General Hospital EMR").focus()
    fresh_pages.journal.finish(run, "done", None, fresh_pages.moment())
    expect(tab.get_by_text("DONE", exact=True)).to_be_visible(timeout=20_000)
    expect(tab.locator("[aria-live=polite]")).to_have_text("Done, 41 records after less than a second.")
    expect(tab.get_by_role("link", name="General Hospital EMR")).to_be_focused()


def test_a_refresh_keeps_opened_sections_and_keyboard_focus(tab: Page, fresh_pages: Pages) -> None:
    record_intake(fresh_pages, applied=7)
    enter(tab, fresh_pages, "operator")
    tab.goto("/sources/genhosp-adt")
    tab.get_by_text("Show as table").focus()
    tab.keyboard.press("Enter")
    region = tab.get_by_role("region", name="Records by hour, newest first")
    expect(region).to_contain_text("7")
    tab.evaluate("document.querySelector('[data-live]').dataset.live = '1'")
    tab.evaluate("later()")
    record_intake(fresh_pages, applied=1992)
    expect(region).to_contain_text("1,999", timeout=20_000)
    expect(tab.get_by_text("Show as table")).to_be_focused()


def test_without_scripts_a_running_run_is_reloaded(chrome: Browser, fresh_pages: Pages) -> None:
    context = chrome.new_context(base_url=fresh_pages.url, java_script_enabled=False)
    tab = context.new_page()
    enter(tab, fresh_pages, "operator")
    tab.goto("/sources/genhosp-adt")
    tab.get_by_role("button", name="Resync now").click()
    run = fresh_pages.journal.runs("general", "genhosp-adt", 1)[0]
    fresh_pages.journal.finish(run, "done", None, fresh_pages.moment())
    expect(tab.get_by_text("DONE")).to_be_visible(timeout=30_000)
    assert tab.url.endswith(f"/runs/{run.id}?live=1")
    context.close()


def test_wrong_passwords_cause_a_wait_and_inactivity_signs_out(tab: Page, fresh_pages: Pages) -> None:
    name, password = fresh_pages.user("staff")
    tab.goto("/sign-in")
    for guess, message in (*[("wrong", "Wrong name or password")] * PACE_BOTH.free, (password, "Too many failed attempts: wait 1 second")):
        tab.get_by_label("Name").fill(name)
        tab.get_by_label("Password").fill(guess)
        tab.get_by_role("button", name="Sign in").click()
        expect(tab.get_by_role("alert")).to_contain_text(message)
    fresh_pages.moment.advance(timedelta(seconds=1))
    enter(tab, fresh_pages, "staff")
    fresh_pages.moment.advance(timedelta(minutes=31))
    tab.reload()
    expect(tab.get_by_role("alert")).to_contain_text("session has ended")


def test_reloading_the_page_of_a_new_key_creates_no_second_one(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "administrator")
    tab.goto(f"{fresh_pages.url}/keys")
    tab.get_by_label("Who will use it").fill("reminders")
    tab.get_by_role("button", name="Create", exact=True).click()
    expect(tab.locator("code.secret")).to_be_visible()
    tab.reload()
    expect(tab.get_by_text("This form was sent already")).to_be_visible()
    expect(tab.locator("code.secret")).to_have_count(0)
    assert [key.name for key in fresh_pages.keys.list()] == ["reminders"]
    assert violations(tab) == []
