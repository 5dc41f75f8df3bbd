"""The page of users: added, given a role, disabled and reset by an administrator of their enterprise, and nobody else."""

from __future__ import annotations

import re

import pytest

from store.audit.audit_log import Audit
from tests.store.web.pages.conftest import Browser, Pages
from tests.store.web.pages.test_routes import colleague

SECRET = re.compile(r'<code class="secret">([^<]+)</code>')


@pytest.fixture
def browser(fresh_pages: Pages) -> Browser:
    found = fresh_pages.signed_in("administrator")
    found.get("/users")
    return found


def audited(pages: Pages, enterprise: str = "general") -> list[tuple[str, str]]:
    """Who did what to users, the newest first."""
    lines = (link.line for link in Audit(pages.store.database).newest(enterprise, limit=20))
    return [(line.actor, line.detail) for line in lines if line.action == "changed_user"]


def test_the_users_of_the_enterprise_are_listed_with_their_roles(fresh_pages: Pages, browser: Browser) -> None:
    fresh_pages.user("staff")
    fresh_pages.user("auditor", "local")
    text = browser.get("/users").text
    assert "staff-general" in text
    assert "auditor-local" not in text
    assert browser.get("/").where == "/users"


def test_a_new_user_signs_in_with_the_password_shown_once(fresh_pages: Pages, browser: Browser) -> None:
    seen = browser.post("/users", name=" Mary Front ", role="staff")
    assert "First password of Mary Front" in seen.text
    (password,) = SECRET.findall(seen.response.text)
    assert SECRET.findall(browser.get("/users").response.text) == []
    entered = fresh_pages.stranger()
    assert entered.post("/sign-in", name="Mary Front", password=password).status == 303
    assert entered.get("/patients").where == "/password"
    actor, detail = audited(fresh_pages)[0]
    assert actor == "administrator:administrator-general"
    assert password not in detail


@pytest.mark.parametrize(
    ("form", "refusal"),
    [
        ({"name": "x", "role": "sender"}, "A user's role must be one of"),
        ({"name": "x", "role": "root"}, "A user's role must be one of"),
        ({"name": "", "role": "staff"}, "A user name must be 1 to 100 printable characters"),
        ({"name": "x" * 101, "role": "staff"}, "A user name must be 1 to 100 printable characters"),
        ({"name": "administrator-general", "role": "staff"}, "This name is taken"),
        ({"name": "staff-local", "role": "staff"}, "This name is taken"),
        ({}, "A user name must be 1 to 100 printable characters"),
    ],
)
def test_an_odd_new_user_is_refused(fresh_pages: Pages, browser: Browser, form: dict[str, str], refusal: str) -> None:
    fresh_pages.user("staff", "local")
    before = fresh_pages.users.list()
    seen = browser.post("/users", **form)
    assert (seen.status, refusal in seen.text) == (422, True)
    assert fresh_pages.users.list() == before


def test_a_role_changes_at_once(fresh_pages: Pages, browser: Browser) -> None:
    other = fresh_pages.signed_in("staff")
    number = fresh_pages.users.find("staff-general").id
    assert other.get("/audit").status == 403
    assert browser.post(f"/users/{number}/role", role="auditor").where == "/users?done=role"
    assert other.get("/audit").status == 200
    assert browser.post(f"/users/{number}/role", role="king").status == 422


def test_a_disabled_user_is_signed_out_and_a_reset_lets_them_in_again(fresh_pages: Pages, browser: Browser) -> None:
    other = fresh_pages.signed_in("staff")
    number = fresh_pages.users.find("staff-general").id
    assert browser.post(f"/users/{number}/disable").where == "/users?done=disabled"
    assert other.get("/patients").where == "/sign-in?again=1"
    (password,) = SECRET.findall(browser.post(f"/users/{number}/reset").response.text)
    assert fresh_pages.stranger().post("/sign-in", name="staff-general", password=password).status == 303
    assert [actor for actor, _ in audited(fresh_pages)][:2] == ["administrator:administrator-general"] * 2


@pytest.mark.parametrize("act", ["role", "disable", "reset"])
def test_nobody_changes_their_own_account_here(fresh_pages: Pages, browser: Browser, act: str) -> None:
    own = fresh_pages.users.find("administrator-general")
    seen = browser.post(f"/users/{own.id}/{act}", role="operator")
    assert (seen.status, "ask another administrator" in seen.text) == (422, True)
    assert fresh_pages.users.find(own.name) == own


@pytest.mark.parametrize("act", ["disable", "reset"])
def test_a_user_of_two_enterprises_is_not_taken_over_by_one_of_them(fresh_pages: Pages, browser: Browser, act: str) -> None:
    """Whoever resets a password can sign in with it everywhere."""
    fresh_pages.user("staff", "local")
    fresh_pages.users.add("staff-local", "general", "auditor", fresh_pages.moment())
    user = fresh_pages.users.find("staff-local")
    seen = browser.post(f"/users/{user.id}/{act}")
    assert (seen.status, "use emr-sync users on the server" in seen.text, SECRET.findall(seen.response.text)) == (422, True, [])
    assert fresh_pages.stranger().post("/sign-in", name=user.name, password=fresh_pages.passwords[user.name]).status == 303
    assert browser.post(f"/users/{user.id}/role", role="staff").status == 303
    assert fresh_pages.users.find(user.name).roles == {"general": "staff", "local": "staff"}


def test_users_of_another_enterprise_are_not_found(fresh_pages: Pages, browser: Browser) -> None:
    number = colleague(fresh_pages, "local")
    for act in ("role", "disable", "reset"):
        assert browser.post(f"/users/{number}/{act}", role="staff").status == 404
