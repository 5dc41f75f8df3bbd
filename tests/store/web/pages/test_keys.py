"""The page of API keys: created and shown once, revoked, each within one enterprise."""

from __future__ import annotations

import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from store.audit.audit_log import Audit
from store.domain.lock import Grant
from store.errors import ValueRefused
from tests.store.web.conftest import ENTERPRISES, NOW
from tests.store.web.pages.conftest import Browser, Pages, Seen

SECRET = re.compile(r'<code class="secret">([^<]+)</code>')
FORM = re.compile(r'name="form" value="([^"]+)"')


def create(browser: Browser, **values: str) -> Seen:
    """Sends the form of a page that was just opened."""
    (form,) = FORM.findall(browser.get("/keys").response.text)
    return browser.post("/keys", form=form, **values)


@pytest.fixture
def browser(fresh_pages: Pages) -> Browser:
    found = fresh_pages.signed_in("administrator")
    found.get("/keys")
    return found


def test_a_new_key_is_shown_once_and_works(fresh_pages: Pages, browser: Browser) -> None:
    assert "None. Nobody can call the API." in browser.get("/keys").text
    seen = create(browser, name="reminders", role="sender", expires="90", patients="1")
    (secret,) = SECRET.findall(seen.response.text)
    assert secret not in browser.get("/keys").response.text
    key = fresh_pages.keys.verify(secret, fresh_pages.moment())
    assert key is not None
    assert (key.name, key.enterprise, key.role, key.grants) == ("reminders", "general", "sender", {Grant.PATIENTS})
    assert key.expires == fresh_pages.moment() + timedelta(days=90)
    (line,) = [one.line for one in Audit(fresh_pages.store.database).newest("general", limit=9) if one.line.action == "created_key"]
    assert (line.actor, line.subject) == ("administrator:administrator-general", key.id)
    assert secret.rpartition(".")[2] not in line.detail


def test_a_form_that_is_sent_again_creates_no_second_key(fresh_pages: Pages, browser: Browser) -> None:
    (form,) = FORM.findall(browser.get("/keys").response.text)
    values = {"form": form, "name": "reminders", "role": "sender", "expires": ""}
    (secret,) = SECRET.findall(browser.post("/keys", **values).response.text)
    for name in ("reminders", "another"):
        again = browser.post("/keys", **{**values, "name": name})
        assert (again.status, again.where) == (303, "/keys?done=repeated")
    assert [one.name for one in fresh_pages.keys.list()] == ["reminders"]
    assert fresh_pages.keys.verify(secret, fresh_pages.moment()) is not None
    seen = browser.get("/keys?done=repeated")
    assert "This form was sent already, and no second key was created." in seen.text
    assert SECRET.findall(seen.response.text) == []


def test_the_next_form_creates_another_key(fresh_pages: Pages, browser: Browser) -> None:
    values = {"name": "reminders", "role": "sender", "expires": ""}
    first = create(browser, **values)
    (form,) = FORM.findall(first.response.text)
    second = browser.post("/keys", form=form, **values)
    assert len({*SECRET.findall(first.response.text), *SECRET.findall(second.response.text)}) == 2
    assert len(fresh_pages.keys.list()) == 2


def test_a_form_that_was_refused_may_be_sent_again(fresh_pages: Pages, browser: Browser) -> None:
    (form,) = FORM.findall(browser.get("/keys").response.text)
    assert browser.post("/keys", form=form, name="", role="sender", expires="").status == 422
    assert SECRET.findall(browser.post("/keys", form=form, name="x", role="sender", expires="").response.text)


def test_a_form_without_its_token_creates_no_key(fresh_pages: Pages, browser: Browser) -> None:
    seen = browser.post("/keys", name="reminders", role="sender", expires="")
    assert (seen.status, "This form is incomplete: send it again" in seen.text) == (422, True)
    assert fresh_pages.keys.list() == []


def test_a_key_is_listed_with_its_use_and_its_end(fresh_pages: Pages, browser: Browser) -> None:
    now = fresh_pages.moment()
    number, _ = fresh_pages.keys.create("feed", "general", "operator", now, expires=now + timedelta(hours=1))
    text = browser.get("/keys").text
    assert re.search(rf"feed {number} operator .* never 20", text)
    fresh_pages.keys.note_use(number, now)
    fresh_pages.moment.advance(timedelta(hours=2))
    browser = fresh_pages.signed_in("administrator")
    text = browser.get("/keys").text
    assert "Revoked and expired keys" in text
    assert "expired 20" in text
    assert "never" not in text.partition("Revoked and expired keys")[2]


def test_the_last_use_is_shown_as_an_hour_that_begins_with_the_key(fresh_pages: Pages, browser: Browser) -> None:
    zone = ZoneInfo(ENTERPRISES["general"].time_zone)
    fresh_pages.moment.now = NOW.replace(minute=42)
    number, _ = fresh_pages.keys.create("feed", "general", "operator", fresh_pages.moment())
    fresh_pages.keys.note_use(number, fresh_pages.moment() + timedelta(minutes=15))
    shown = f"{fresh_pages.moment().astimezone(zone):%Y-%m-%d %H:%M %Z}"
    assert f"operator {shown} in the hour from {shown} never" in fresh_pages.signed_in("administrator").get("/keys").text


def test_a_revoked_key_is_refused(fresh_pages: Pages, browser: Browser) -> None:
    number, secret = fresh_pages.keys.create("feed", "general", "sender", fresh_pages.moment())
    assert browser.post(f"/keys/{number}/revoke").where == "/keys?done=revoked"
    assert fresh_pages.keys.verify(secret, fresh_pages.moment()) is None
    assert "The key was revoked" in browser.get("/keys?done=revoked").text


@pytest.mark.parametrize(
    ("form", "refusal"),
    [
        ({"name": "x", "role": "administrator", "expires": ""}, "Role must be one of"),
        ({"name": "x", "role": "root", "expires": ""}, "Role must be one of"),
        ({"name": "", "role": "sender", "expires": ""}, "The name must be 1 to 100 printable characters"),
        ({"name": "x" * 101, "role": "sender", "expires": ""}, "The name must be 1 to 100 printable characters"),
        ({"name": "x", "role": "sender", "expires": "99999999"}, "The expiry must be one of those offered"),
        ({"name": "x", "role": "operator", "expires": "", "patients": "1"}, "Only sender keys can have grants"),
    ],
)
def test_an_odd_new_key_is_refused(fresh_pages: Pages, browser: Browser, form: dict[str, str], refusal: str) -> None:
    seen = create(browser, **form)
    assert (seen.status, refusal in seen.text) == (422, True)
    assert fresh_pages.keys.list() == []


def test_keys_of_another_enterprise_are_not_found(fresh_pages: Pages, browser: Browser) -> None:
    number, secret = fresh_pages.keys.create("theirs", "local", "sender", fresh_pages.moment())
    assert "theirs" not in browser.get("/keys").text
    assert browser.post(f"/keys/{number}/revoke").status == 404
    assert fresh_pages.keys.verify(secret, fresh_pages.moment()) is not None


def test_an_administrator_has_no_api_key(fresh_pages: Pages) -> None:
    with pytest.raises(ValueRefused, match="role must be one of"):
        fresh_pages.keys.create("x", "general", "administrator", fresh_pages.moment())
