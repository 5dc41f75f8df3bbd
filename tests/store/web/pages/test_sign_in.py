from __future__ import annotations

from datetime import timedelta

import pytest

from store.people.credentials import TRIES
from tests.store.web.pages.conftest import ROLES, Pages


def test_a_stranger_is_sent_to_the_sign_in_from_every_page(pages: Pages) -> None:
    for path in ("/", "/patients", pages.patient(), "/settings"):
        seen = pages.stranger().get(path)
        assert (seen.status, seen.where) == (303, "/sign-in")


@pytest.mark.parametrize("role", ROLES)
def test_a_user_signs_in_and_out(pages: Pages, role: str) -> None:
    browser = pages.signed_in(role)
    assert f"{role}-general" in browser.get(browser.get("/").where or "/").text
    assert browser.post("/sign-out").where == "/sign-in"
    assert browser.get("/").where == "/sign-in"


def test_the_session_is_in_a_cookie_that_scripts_and_other_sites_do_not_get(pages: Pages) -> None:
    name, password = pages.user("staff")
    cookie = pages.stranger().post("/sign-in", name=name, password=password).response.headers["set-cookie"]
    assert cookie.startswith("emr_sync_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    behind = pages.stranger()
    behind.client.headers["x-forwarded-proto"] = "https"
    cookie = behind.post("/sign-in", name=name, password=password).response.headers["set-cookie"]
    assert cookie.startswith("__Host-emr_sync_session=")
    assert cookie.endswith("Secure")


def test_every_refused_sign_in_says_the_same(fresh_pages: Pages) -> None:
    name, password = fresh_pages.user("staff")
    fresh_pages.user("manager")
    fresh_pages.users.disable("manager-general", fresh_pages.moment())
    browser = fresh_pages.stranger()
    wrong = browser.post("/sign-in", name=name, password="wrong")
    assert wrong.status == 403
    others = [
        browser.post("/sign-in", name="nobody", password=password),
        browser.post("/sign-in", name="manager-general", password=fresh_pages.passwords["manager-general"]),
        browser.post("/sign-in"),
    ]
    assert {(one.status, one.text) for one in others} == {(403, wrong.text)}


def test_a_user_is_locked_out_after_wrong_passwords_and_let_in_later(fresh_pages: Pages) -> None:
    name, password = fresh_pages.user("staff")
    browser = fresh_pages.stranger()
    for _ in range(TRIES):
        assert browser.post("/sign-in", name=name, password="wrong").status == 403
    assert browser.post("/sign-in", name=name, password=password).status == 403
    fresh_pages.moment.pass_(timedelta(minutes=16))
    assert browser.post("/sign-in", name=name, password=password).status == 303


def test_a_session_ends_by_inactivity_and_says_so(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("staff")
    fresh_pages.moment.pass_(timedelta(minutes=29))
    assert browser.get("/patients").status == 200
    fresh_pages.moment.pass_(timedelta(minutes=31))
    seen = browser.get("/patients")
    assert seen.where == "/sign-in?again=1"
    assert "session is over" in browser.get(seen.where).text


def test_a_form_without_the_session_s_token_changes_nothing(fresh_pages: Pages) -> None:
    browser, other = fresh_pages.signed_in("enterprise", "local"), fresh_pages.signed_in("enterprise", "local")
    where = f"{fresh_pages.patient(enterprise='local')}/do-not-contact"
    for token in ("", "guess", other.token):
        seen = browser.post(where, csrf=token, value="yes", reason="asked")
        assert seen.status == 403
        assert "open the page again" in seen.text
    assert browser.post("/sign-out", csrf="guess").status == 403
    assert browser.post(where, value="yes", reason="asked").status == 303


def test_a_form_of_another_site_is_refused_even_for_signing_in(pages: Pages) -> None:
    name, password = pages.user("staff")
    browser = pages.stranger()
    for origin in ("https://elsewhere.example", "null"):
        assert browser.post("/sign-in", origin=origin, name=name, password=password).status == 403
    assert browser.post("/sign-in", origin=pages.url, name=name, password=password).status == 303


@pytest.mark.parametrize("path", ["/sign-in", "/patients", "/patients/pt_0000000000000000"])
def test_every_page_is_strict_and_not_kept(pages: Pages, path: str) -> None:
    headers = pages.signed_in("staff").get(path).response.headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"


def test_no_page_has_inline_styles_or_scripts(pages: Pages) -> None:
    for role, path in (("staff", pages.patient()), ("enterprise", "/settings"), ("staff", "/patients")):
        html = pages.signed_in(role).get(path).response.text
        assert " style=" not in html
        assert "<style" not in html
        assert "<script>" not in html
        assert " onclick" not in html


def test_static_files_are_kept_for_ever_under_an_address_that_changes_with_them(pages: Pages) -> None:
    browser = pages.stranger()
    html = browser.get("/sign-in").response.text
    address = next(part for part in html.split('"') if part.endswith("/pages.css"))
    reply = browser.get(address).response
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in reply.headers["cache-control"]
    assert browser.get("/static/x/../../app.py").status == 404
    assert browser.get("/static/x/nothing.css").status == 404


def test_a_user_of_two_enterprises_goes_from_one_to_the_other(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("staff")
    fresh_pages.users.add("staff-general", "local", "enterprise", fresh_pages.moment())
    assert browser.get("/settings").status == 403
    assert browser.post("/enterprise", enterprise="local").where == "/"
    assert browser.get("/settings").status == 200
    assert browser.post("/enterprise", enterprise="quiet").status == 403


def test_what_is_no_form_is_refused_kindly(pages: Pages) -> None:
    browser = pages.stranger()
    for body in (b"\xff\xfe=1", b"&".join(b"a=1" for _ in range(60))):
        reply = browser.client.post("/sign-in", content=body)
        assert reply.status_code == 422
        assert "no form of ours" in reply.text
