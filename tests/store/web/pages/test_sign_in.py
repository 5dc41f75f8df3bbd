from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from store.users.throttle import PACE_BOTH
from store.web.pages.sign_in import BEFORE_REFUSAL
from tests.store.web.conftest import NOW
from tests.store.web.pages.conftest import ROLES, Pages


def test_every_page_without_a_session_leads_to_sign_in(pages: Pages) -> None:
    for path in ("/", "/patients", pages.patient(), "/settings"):
        seen = pages.stranger().get(path)
        assert (seen.status, seen.where) == (303, "/sign-in")


@pytest.mark.parametrize("role", ROLES)
def test_a_user_signs_in_and_out(pages: Pages, role: str) -> None:
    browser = pages.signed_in(role)
    assert f"{role}-general" in browser.get(browser.get("/").where or "/").text
    assert browser.post("/sign-out").where == "/sign-in"
    assert browser.get("/").where == "/sign-in"


def test_the_session_cookie_is_http_only_and_same_site(pages: Pages) -> None:
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


def test_every_refused_sign_in_has_the_same_message(fresh_pages: Pages) -> None:
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


@pytest.mark.parametrize("name", ["staff-general", "nobody"])
def test_wrong_passwords_delay_the_next_attempt_whether_or_not_the_name_exists(fresh_pages: Pages, name: str) -> None:
    _, password = fresh_pages.user("staff")
    browser = fresh_pages.stranger()
    for _ in range(PACE_BOTH.free):
        assert browser.post("/sign-in", name=name, password="wrong").status == 403
    waits = browser.post("/sign-in", name=name, password=password)
    assert (waits.status, waits.response.headers["retry-after"]) == (429, "1")
    assert "wait 1 second" in waits.text
    fresh_pages.moment.advance(timedelta(seconds=1))
    assert browser.post("/sign-in", name=name, password=password).status == (303 if name == "staff-general" else 403)


def test_too_many_concurrent_password_checks_are_refused_and_decisions_continue(fresh_pages: Pages) -> None:
    """Every password thread and every place in its queue is taken."""
    go_on, lane = threading.Event(), fresh_pages.lanes.passwords
    name, password = fresh_pages.user("staff")
    token = fresh_pages.keys.create("reminders", "general", "sender", NOW)[1]
    ask = {"patient": {"value": "MRN1"}, "message_type": "manual", "channels": ["sms"]}
    fresh_pages.in_loop(lambda: [asyncio.ensure_future(lane.run(go_on.wait)) for _ in range(lane.limit or 0)])
    try:
        browser, began = fresh_pages.stranger(), time.monotonic()
        refused = browser.post("/sign-in", name=name, password=password)
        assert (refused.status, "retry-after" in refused.response.headers) == (429, True)
        assert time.monotonic() - began >= BEFORE_REFUSAL, "guesses are not answered as fast as they come"
        requested = browser.client.post("/v1/decisions", json=ask, headers={"authorization": f"Bearer {token}"})
        assert requested.status_code == 200
        assert browser.get("/sign-in").status == 200
    finally:
        go_on.set()


def test_a_form_longer_than_a_name_and_a_password_is_refused(pages: Pages) -> None:
    assert pages.stranger().post("/sign-in", name="pat", password="x" * 20_000).status == 413


def test_a_session_that_expired_by_inactivity_says_so(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("staff")
    fresh_pages.moment.advance(timedelta(minutes=29))
    assert browser.get("/patients").status == 200
    fresh_pages.moment.advance(timedelta(minutes=31))
    seen = browser.get("/patients")
    assert seen.where == "/sign-in?again=1"
    assert "session has ended" in browser.get(seen.where).text


@pytest.mark.parametrize("known", [True, False], ids=["cookie left", "cookie gone"])
def test_what_is_sent_after_the_session_ended_is_said_not_to_be_saved(fresh_pages: Pages, known: bool) -> None:
    browser = fresh_pages.signed_in("staff")
    fresh_pages.moment.advance(timedelta(hours=1))
    sender = browser if known else fresh_pages.stranger()
    seen = sender.post(f"{fresh_pages.patient()}/sms-consent", csrf=browser.token, value="opted_out", reason="called")
    assert seen.where == "/sign-in?again=unsaved"
    assert "was not saved" in browser.get(seen.where).text


def test_a_form_without_the_session_s_token_changes_nothing(fresh_pages: Pages) -> None:
    browser, other = fresh_pages.signed_in("enterprise", "local"), fresh_pages.signed_in("enterprise", "local")
    where = f"{fresh_pages.patient(enterprise='local')}/do-not-contact"
    for token in ("", "guess", other.token):
        seen = browser.post(where, csrf=token, value="yes", reason="asked")
        assert seen.status == 403
        assert "reload the page" in seen.text
    assert browser.post("/sign-out", csrf="guess").status == 403
    assert browser.post(where, value="yes", reason="asked").status == 303


def test_a_form_from_another_site_is_refused_even_for_signing_in(pages: Pages) -> None:
    name, password = pages.user("staff")
    browser = pages.stranger()
    for origin in ("https://elsewhere.example", "null"):
        assert browser.post("/sign-in", origin=origin, name=name, password=password).status == 403
    assert browser.post("/sign-in", origin=pages.url, name=name, password=password).status == 303


@pytest.mark.parametrize("path", ["/sign-in", "/patients", "/patients/pt_0000000000000000"])
def test_every_page_has_strict_headers_and_is_not_cached(pages: Pages, path: str) -> None:
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


def test_static_files_are_cached_forever_under_a_versioned_url(pages: Pages) -> None:
    browser = pages.stranger()
    html = browser.get("/sign-in").response.text
    address = next(part for part in html.split('"') if part.endswith("/pages.css"))
    reply = browser.get(address).response
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in reply.headers["cache-control"]
    assert browser.get("/static/x/../../app.py").status == 404
    assert browser.get("/static/x/nothing.css").status == 404


def test_a_user_of_two_enterprises_switches_between_them(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("staff")
    fresh_pages.users.add("staff-general", "local", "enterprise", fresh_pages.moment())
    assert browser.get("/settings").status == 403
    assert browser.post("/enterprise", enterprise="local").where == "/"
    assert browser.get("/settings").status == 200
    assert browser.post("/enterprise", enterprise="quiet").status == 403


def test_a_malformed_form_gets_a_friendly_error(pages: Pages) -> None:
    browser = pages.stranger()
    for body in (b"\xff\xfe=1", b"&".join(b"a=1" for _ in range(60))):
        reply = browser.client.post("/sign-in", content=body)
        assert reply.status_code == 422
        assert "not a valid form" in reply.text
