"""Every action of the pages with Tab, Enter, Space and the arrows alone, from the sign-in on, in a real Chromium.

What else is done so: the toggle, the question and the decision in test_in_a_browser, the box in test_find, the worklist in test_worklist.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from store.domain.patient import PatientRef
from store.domain.write_back import WriteBackState
from store.patients.webhook_outbox import Outbox
from store.patients.write_backs import WriteBacks
from store.runs.runs import RunStatus
from tests.store.web.conftest import HOME
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab
from tests.store.web.pages.conftest import Pages
from tests.store.web.pages.keyboard import enter, press, tab_to, write
from tests.store.web.pages.test_console import dnc, held, rejected
from tests.store.web.pages.test_opt_outs import stop
from tests.store.web.pages.test_replies import unclear
from tests.store.web.pages.test_settings import asked_for_approval
from tests.store.web.pages.test_undelivered import dead, disabled

BOX = "Name, birth date, phone or identifier"


@pytest.fixture
def tab(chrome: Browser, fresh_pages: Pages) -> Iterator[Page]:
    with opened_tab(chrome, fresh_pages.url) as page:
        yield page


def status(tab: Page, text: str) -> None:
    expect(tab.get_by_role("status").first).to_contain_text(text)


def find(tab: Page, value: str = "MRN1") -> None:
    """From the box to a facesheet."""
    write(tab, BOX, value)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Communication settings")).to_be_visible()


def test_a_patient_is_found_and_the_toggle_switched(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "enterprise", "local")
    find(tab)
    press(tab, "Turn on …")
    write(tab, "Reason (kept in the history)", "asked at the desk")
    press(tab, "Turn Do Not Contact on")
    status(tab, "Do Not Contact was changed.")


def test_an_opt_out_is_recorded_and_found_in_the_report(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "enterprise")
    find(tab)
    press(tab, "Record an opt-out …")
    tab_to(tab, "every line")
    tab.keyboard.press("Space")
    write(tab, "Reason", "asked")
    press(tab, "Opt out")
    status(tab, "The opt-out was recorded.")
    press(tab, "Opt-outs")
    expect(tab.get_by_role("heading", name="SMS opt-outs")).to_be_visible()
    tab_to(tab, "Recorded by")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    press(tab, "Show")
    expect(tab.get_by_label("Recorded by")).to_have_value("staff")
    expect(tab.get_by_role("region", name="Opt-outs, by number")).to_contain_text("staff")
    tab_to(tab, "Download filtered list as CSV")
    with tab.expect_download() as download:
        tab.keyboard.press("Enter")
    assert download.value.suggested_filename == "sms-opt-outs.csv"


def test_a_preferred_phone_is_chosen_with_the_arrows(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "staff", "local")
    find(tab)
    press(tab, "Choose the preferred phone …")
    tab_to(tab, "Preferred phone")
    tab.keyboard.press("ArrowDown")
    press(tab, "Save")
    status(tab, "The preferred phone was changed.")
    assert fresh_pages.store.find("local", PatientRef(value="MRN1")).contact.preferred_phone == HOME


@pytest.mark.parametrize("button", ["Opt out", "Not an opt-out"])
def test_a_reply_is_decided(tab: Page, fresh_pages: Pages, button: str) -> None:
    unclear(fresh_pages)
    enter(tab, fresh_pages, "staff")
    press(tab, "Replies")
    write(tab, "Reason for the decision about the reply of", "called back")
    press(tab, button)
    expect(tab.get_by_text("No replies to review.")).to_be_visible()
    expect(tab.get_by_role("region", name="Decided replies, newest first")).to_contain_text("“called back”")


def test_a_held_set_is_approved_from_the_overview(tab: Page, fresh_pages: Pages) -> None:
    run = held(fresh_pages)
    enter(tab, fresh_pages, "operator")
    press(tab, "Changes that would permit contact held for 1 patient", "Approve …", "Yes, approve")
    status(tab, "approved")
    assert (dnc(fresh_pages), fresh_pages.journal.run(run).status) == ("no", RunStatus.DONE)


def test_a_held_set_is_rejected_from_the_overview(tab: Page, fresh_pages: Pages) -> None:
    held(fresh_pages)
    enter(tab, fresh_pages, "operator")
    press(tab, "Changes that would permit contact held for 1 patient", "Reject")
    status(tab, "Nothing else changes")
    assert dnc(fresh_pages) == "yes"


def test_settings_that_wait_are_approved_by_another_person(tab: Page, fresh_pages: Pages) -> None:
    asked_for_approval(fresh_pages)
    enter(tab, fresh_pages, "operator")
    press(tab, "Changed settings held for 2 patients", "Approve …", "Yes, approve")
    status(tab, "approved")
    assert fresh_pages.store.settings.get("general").policy.when_preferred_impossible == "next"


def test_a_policy_is_chosen_with_the_arrows_confirmed_and_left_to_another_person(tab: Page, fresh_pages: Pages) -> None:
    enter(tab, fresh_pages, "enterprise")
    press(tab, "Default settings")
    expect(tab.get_by_role("heading", name="Default settings")).to_be_visible()
    radio = tab.get_by_role("radio", name="Try the next channel")
    tab_to(tab, "Do not send")
    for _ in range(12):
        if radio.is_checked():
            break
        tab.keyboard.press("ArrowDown")
        if radio.evaluate("one => one.name !== document.activeElement.name"):
            tab.keyboard.press("Tab")
    expect(radio).to_be_checked()
    press(tab, "Save")
    expect(tab.get_by_role("heading", name="This would permit more contact")).to_be_visible()
    press(tab, "Ask for approval")
    status(tab, "waits until another person approves it")


def test_a_users_page_is_worked_through(tab: Page, fresh_pages: Pages) -> None:
    fresh_pages.users.add("front desk", "general", "staff", fresh_pages.moment())
    enter(tab, fresh_pages, "administrator")
    press(tab, "Users")
    write(tab, "Name", "night desk")
    tab_to(tab, "Role")
    tab.keyboard.press("ArrowDown")
    press(tab, "Add")
    expect(tab.get_by_role("heading", name="First password of night desk")).to_be_visible()
    tab_to(tab, "Role of front desk")
    tab.keyboard.type("audi")
    press(tab, "Change the role of front desk")
    status(tab, "role")
    assert fresh_pages.users.find("front desk").roles["general"] == "auditor"
    press(tab, "Reset …", "Yes, reset")
    expect(tab.get_by_role("heading", name="First password of front desk")).to_be_visible()
    press(tab, "Disable …", "Yes, disable")
    expect(tab.get_by_role("region", name="Users by name").get_by_text("disabled")).to_be_visible()


def test_a_rule_is_copied_as_a_whole_when_the_keyboard_reaches_it(chrome: Browser, fresh_pages: Pages) -> None:
    rejected(fresh_pages)
    with opened_tab(chrome, fresh_pages.url) as tab:
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
        enter(tab, fresh_pages, "operator")
        press(tab, "1 rejection: Code unmapped: Do Not Contact at PV1-18")
        expect(tab.get_by_role("heading", name="Fix", exact=True)).to_be_visible()
        tab_to(tab, "Mapping rule to copy")
        tab.keyboard.press("Control+C")
        copied = tab.evaluate("navigator.clipboard.readText()")
        assert copied.strip() == tab.get_by_role("region", name="Mapping rule to copy").inner_text().strip()
        assert "CODE: CHOOSE" in copied


def test_one_rejection_is_replayed(tab: Page, fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    enter(tab, fresh_pages, "operator")
    tab.goto(f"/rejections/{rejection}")
    press(tab, "Replay")
    status(tab, "was replayed")
    assert fresh_pages.requested == [("replay", rejection, "operator-general")]


def test_what_did_not_arrive_is_sent_again(tab: Page, fresh_pages: Pages) -> None:
    endpoint = disabled(fresh_pages)
    dead(fresh_pages)
    enter(tab, fresh_pages, "operator")
    press(tab, f"The webhook endpoint {endpoint} is disabled", f"Enable {endpoint}")
    status(tab, "The endpoint is enabled.")
    assert Outbox(fresh_pages.store, endpoint, "general").state().disabled is None
    press(tab, "Try 1 opt-out of General Hospital EMR again")
    status(tab, "The opt-outs will be tried again.")
    assert WriteBacks(fresh_pages.store.database).listed(["genhosp-adt"], WriteBackState.DEAD) == []


def test_runs_are_filtered_and_a_source_is_read_again(tab: Page, fresh_pages: Pages) -> None:
    journal, now = fresh_pages.journal, fresh_pages.moment()
    for state in ("done", "failed"):
        journal.finish(journal.start("genhosp-adt", "general", "resync", now=now - timedelta(minutes=5)), state, None, now)
    enter(tab, fresh_pages, "operator")
    press(tab, "Runs")
    tab_to(tab, "State")
    tab.keyboard.type("fail")
    press(tab, "Show")
    expect(tab.get_by_role("region", name="Runs, newest first").get_by_role("row")).to_have_count(2)
    press(tab, "Sources", "General Hospital EMR", "Resync now")
    expect(tab.get_by_text("RUNNING")).to_be_visible()


def test_a_number_is_looked_for_and_nothing_else_is_shown(tab: Page, fresh_pages: Pages) -> None:
    stop(fresh_pages, HOME)
    stop(fresh_pages, "+12175550109")
    enter(tab, fresh_pages, "manager")
    press(tab, "Opt-outs")
    write(tab, "Number contains", "0109")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("region", name="Opt-outs, by number").get_by_role("row")).to_have_count(2)


def test_the_password_is_changed_and_the_session_ended(tab: Page, fresh_pages: Pages) -> None:
    _, old = fresh_pages.user("auditor")
    enter(tab, fresh_pages, "auditor")
    press(tab, "Password")
    write(tab, "Current password", old)
    write(tab, "New password", "tulip hammer river")
    write(tab, "Repeat the new password", "tulip hammer river")
    press(tab, "Change password")
    expect(tab.get_by_role("status")).to_be_visible()
    press(tab, "Sign out")
    expect(tab.get_by_role("button", name="Sign in")).to_be_visible()
