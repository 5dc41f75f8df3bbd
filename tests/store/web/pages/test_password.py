"""Changing one's own password: it needs the current one and ends all other sessions."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.store.web.conftest import NOW
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.conftest import ROLES, Browser, Pages
from tests.store.web.pages.test_in_a_browser import PHONE, violations
from tests.store.web.pages.test_in_a_browser import tab as tab

NEW = "tulip hammer river"


def changed(browser: Browser, current: str, new: str = NEW, again: str | None = None) -> tuple[int, str]:
    """The response of the form: its status, and the redirect or the text."""
    browser.get("/password")
    seen = browser.post("/password", current=current, new=new, again=new if again is None else again)
    return seen.status, seen.where or seen.text


@pytest.mark.parametrize("role", ROLES)
def test_every_role_can_open_the_password_form(pages: Pages, role: str) -> None:
    seen = pages.signed_in(role).get("/password")
    assert seen.status == 200
    assert "At least 15 characters" in seen.text


def test_a_password_change_keeps_only_the_current_session(fresh_pages: Pages) -> None:
    here, there = fresh_pages.signed_in("staff"), fresh_pages.signed_in("staff")
    name, old = fresh_pages.user("staff")
    assert changed(here, old) == (303, "/password?done=1")
    assert "Your password was changed" in here.get("/password?done=1").text
    assert here.get("/patients").status == 200
    assert there.get("/patients").where == "/sign-in?again=1"
    stranger = fresh_pages.stranger()
    assert stranger.post("/sign-in", name=name, password=old).status == 403
    assert stranger.post("/sign-in", name=name, password=NEW).status == 303
    assert "staff:staff-general changed password" in fresh_pages.signed_in("auditor").get("/audit").text


@pytest.mark.parametrize(
    ("current", "new", "again", "message"),
    [
        ("wrong", NEW, NEW, "The current password is wrong."),
        (None, NEW, "tulip hammer rover", "do not match"),
        (None, "too short", "too short", "at least 15 characters"),
        (None, "staff general 2026", "staff general 2026", "easy to guess"),
    ],
)
def test_an_invalid_password_change_says_why(fresh_pages: Pages, current: str | None, new: str, again: str, message: str) -> None:
    browser = fresh_pages.signed_in("staff")
    status, text = changed(browser, fresh_pages.user("staff")[1] if current is None else current, new, again)
    assert status == 422
    assert message in text
    assert new not in text


def test_a_user_with_an_initial_password_must_choose_a_new_one_first(fresh_pages: Pages) -> None:
    first = fresh_pages.users.add("robin", "local", "enterprise", NOW, provisional=True)[1] or ""
    browser, patient = fresh_pages.stranger(), fresh_pages.patient(enterprise="local")
    assert browser.post("/sign-in", name="robin", password=first).status == 303
    seen = browser.get("/password")
    assert "Choose a new one that only you know" in seen.text
    assert "<nav" not in seen.response.text
    for path in ("/", "/patients", patient, "/settings"):
        assert browser.get(path).where == "/password"
    assert browser.post(f"{patient}/do-not-contact", value="yes", reason="asked").where == "/password"
    assert changed(browser, first)[0] == 303
    assert browser.get(patient).status == 200


def test_a_user_with_an_initial_password_can_sign_out(fresh_pages: Pages) -> None:
    first = fresh_pages.users.add("robin", "local", "enterprise", NOW, provisional=True)[1] or ""
    browser = fresh_pages.stranger()
    browser.post("/sign-in", name="robin", password=first)
    browser.get("/password")
    assert browser.post("/sign-out").where == "/sign-in"
    assert browser.get("/password").where == "/sign-in"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_new_user_chooses_a_password_in_a_real_browser(tab: Page, fresh_pages: Pages, scheme: Any) -> None:
    first = fresh_pages.users.add("robin", "local", "enterprise", NOW, provisional=True)[1] or ""
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": PHONE, "height": 800})
    tab.goto("/sign-in")
    tab.get_by_label("Name").fill("robin")
    tab.get_by_label("Password").fill(first)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Your password")).to_be_visible()
    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    tab.get_by_label("Current password").fill(first)
    tab.get_by_label("New password", exact=True).fill("password12345678")
    tab.get_by_label("Repeat the new password").fill("password12345678")
    tab.get_by_role("button", name="Change password").click()
    expect(tab.get_by_role("alert")).to_contain_text("easy to guess")
    tab.get_by_label("Current password").fill(first)
    tab.get_by_label("New password", exact=True).fill(NEW)
    tab.get_by_label("Repeat the new password").fill(NEW)
    tab.get_by_role("button", name="Change password").click()
    expect(tab.get_by_role("status")).to_contain_text("Your password was changed")
    assert violations(tab) == []
    tab.get_by_role("link", name="Continue").click()
    expect(tab.get_by_label("Identifier")).to_be_visible()
