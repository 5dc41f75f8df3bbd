"""Signing in with OpenID Connect, over real HTTP, at a small provider with its own keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import jwt
import pytest
from playwright.sync_api import Browser as Chrome
from playwright.sync_api import expect

from store.users.openid import OpenId, RoleRule
from store.web.pages.provider import Provider
from tests.spec.access import OPEN
from tests.spec.access import PAGES as WHO
from tests.store.web.conftest import NOW
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.conftest import Browser, Moment, Pages, Seen, serve_pages
from tests.store.web.pages.identity import CLIENT, SECRET, Claims, Identity, Key, same, signed
from tests.store.web.pages.test_in_a_browser import PHONE, violations
from tests.store.web.pages.test_routes import routes

ROLES = (
    RoleRule("groups", "hospital-staff", "general", "staff"),
    RoleRule("groups", "everybody", "general", "auditor"),
    RoleRule("realm_access.roles", "settings", "local", "enterprise"),
)
ROBIN: Claims = {"sub": "r-1", "preferred_username": "robin", "groups": ["everybody", "hospital-staff"]}
KIM: Claims = {"sub": "k-1", "preferred_username": "kim", "realm_access": {"roles": ["settings"]}}


@dataclass
class Realm:
    """The provider and the pages that use it."""

    identity: Identity
    pages: Pages

    def requested(self, browser: Browser) -> dict[str, str]:
        """The parameters of the authorization request, after a click on the button."""
        return dict(parse_qsl(urlsplit(browser.get("/sign-in/openid").where).query))

    def sent_back(self, requested: Mapping[str, str]) -> str:
        """The redirect of the provider after the user has signed in there."""
        answered = httpx.post(f"{self.identity.issuer}/authorize", data={"asked": urlencode(requested)})
        assert answered.status_code == 302, answered.text
        return answered.headers["location"]

    def enter(self, person: Claims = ROBIN, browser: Browser | None = None) -> tuple[Browser, Seen]:
        """Completes a sign-in."""
        self.identity.person, browser = person, browser or self.pages.stranger()
        return browser, browser.get(self.sent_back(self.requested(browser)))

    def log(self, enterprise: str = "general") -> str:
        """The audit log as a page."""
        return self.pages.signed_in("auditor", enterprise).get("/audit").text


@pytest.fixture
def realm(sqlite_url: str) -> Iterator[Realm]:
    moment = Moment()
    with Identity(moment) as identity:

        def provider(address: str, clock: Moment) -> Provider:
            identity.clock = clock
            settings = OpenId(identity.issuer, CLIENT, address, ROLES, SECRET, "Hospital sign-in")
            identity.redirect_uris.append(settings.redirect_uri)
            return Provider(settings)

        for pages in serve_pages(sqlite_url, provider):
            yield Realm(identity, pages)


def refused(seen: Seen, message: str, status: int = 403) -> None:
    """Checks that the sign-in failed and that the page gives the reason."""
    assert (seen.status, seen.where) == (status, ""), seen.text
    assert "Access denied" in seen.text
    assert message in seen.text
    assert "emr_sync_session" not in seen.response.headers.get("set-cookie", "")


def test_a_user_signs_in_with_the_role_of_their_group(realm: Realm) -> None:
    browser = realm.pages.stranger()
    assert "Sign in with Hospital sign-in" in browser.get("/sign-in").text
    browser, seen = realm.enter(browser=browser)
    assert (seen.status, seen.where) == (303, "/")
    page = browser.get("/patients")
    assert "robin, staff" in page.text
    assert browser.get("/settings").status == 403
    (robin,) = realm.pages.users.list()
    assert (robin.name, dict(robin.roles), robin.way) == ("robin", {"general": "staff"}, "openid")
    assert "staff:robin signed in" in realm.log()


def test_netrc_credentials_are_not_sent_to_the_provider(realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    _, seen = realm.enter()
    assert (seen.status, seen.where) == (303, "/")
    assert {"/.well-known/openid-configuration", "/keys"} <= set(realm.identity.requests)
    assert realm.identity.passwords == []


def test_the_request_has_state_nonce_and_challenge_but_not_the_secret(realm: Realm) -> None:
    browser = realm.pages.stranger()
    first, second = realm.requested(browser), realm.requested(browser)
    assert (first["response_type"], first["scope"], first["client_id"]) == ("code", "openid profile", CLIENT)
    assert (first["code_challenge_method"], first["redirect_uri"]) == ("S256", f"{realm.pages.url}/sign-in/openid/done")
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 43
        assert first[name] != second[name]
    cookie = browser.get("/sign-in/openid").response.headers["set-cookie"]
    assert "HttpOnly; SameSite=Lax; Max-Age=600" in cookie
    assert len({first["state"], first["nonce"], first["code_challenge"]}) == 3
    assert browser.client.cookies["emr_sync_sign_in"] not in str(first)


def test_roles_are_updated_at_sign_in_and_removed_roles_end_at_once(realm: Realm) -> None:
    before, _ = realm.enter(KIM | {"groups": ["hospital-staff"]})
    assert before.get("/patients").status == 200
    after, _ = realm.enter(KIM)
    assert dict(realm.pages.users.find("kim").roles) == {"local": "enterprise"}
    assert before.get("/patients").where == "/sign-in?again=1"
    assert after.get("/settings").status == 200


def test_losing_every_role_ends_all_sessions(realm: Realm) -> None:
    before, _ = realm.enter()
    _, seen = realm.enter({**ROBIN, "groups": ["visitors"]})
    refused(seen, "have no role here")
    assert "Sign out of Hospital sign-in" in seen.text
    assert before.get("/patients").where == "/sign-in?again=1"
    assert dict(realm.pages.users.find("robin").roles) == {}


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"groups": []},
        {"groups": ["Hospital-Staff", "hospital-staff ", "staff"]},
        {"groups": "everybody-else"},
        {"groups": {"hospital-staff": True}},
        {"groups": [["hospital-staff"], {"name": "everybody"}, None, True]},
        {"realm_access": "settings"},
        {"realm_access.roles": "other"},
        {"role": "staff", "enterprise": "general"},
    ],
)
def test_claims_without_a_rule_give_no_role(realm: Realm, claims: Claims) -> None:
    _, seen = realm.enter({"sub": "x-1", "preferred_username": "stranger", **claims})
    refused(seen, "have no role here")
    assert realm.pages.users.list() == []
    assert "stranger refused sign in" in realm.log()


def test_the_name_of_a_password_user_is_not_taken_over(realm: Realm) -> None:
    password = realm.pages.users.add("robin", "general", "enterprise", NOW)[1] or ""
    _, seen = realm.enter()
    refused(seen, "Your user name is already taken here")
    assert dict(realm.pages.users.find("robin").roles) == {"general": "enterprise"}
    assert realm.pages.stranger().post("/sign-in", name="robin", password=password).status == 303


def test_the_name_of_another_provider_user_is_not_taken_over(realm: Realm) -> None:
    realm.enter()
    _, seen = realm.enter({**ROBIN, "sub": "r-2"})
    refused(seen, "Your user name is already taken here")


def test_a_user_moved_to_the_provider_has_no_password(realm: Realm) -> None:
    users = realm.pages.users
    password = users.add("robin", "general", "auditor", NOW)[1] or ""
    assert users.reset("robin", NOW, way="openid")[1] is None
    browser, seen = realm.enter()
    assert seen.status == 303
    assert dict(users.find("robin").roles) == {"general": "staff"}
    for guess in (password, ""):
        assert realm.pages.stranger().post("/sign-in", name="robin", password=guess).status == 403
    page = browser.get("/password")
    assert "You sign in with Hospital sign-in" in page.text
    assert 'type="password"' not in page.response.text
    assert browser.post("/password", current=password, new="tulip hammer river", again="tulip hammer river").status == 422


def test_a_user_renamed_at_the_provider_stays_the_same_user(realm: Realm) -> None:
    realm.enter()
    number = realm.pages.users.find("robin").id
    realm.enter({**ROBIN, "preferred_username": "robin.married"})
    assert [(user.id, user.name) for user in realm.pages.users.list()] == [(number, "robin.married")]


def test_a_disabled_user_cannot_sign_in_until_enabled_again(realm: Realm) -> None:
    browser, _ = realm.enter()
    realm.pages.users.disable("robin", NOW)
    assert browser.get("/patients").where == "/sign-in?again=1"
    refused(realm.enter()[1], "your account is disabled here")
    realm.pages.users.reset("robin", NOW)
    assert realm.enter()[1].status == 303


def test_provider_sessions_expire_like_password_sessions(realm: Realm) -> None:
    browser, _ = realm.enter()
    realm.pages.moment.advance(timedelta(minutes=31))
    assert browser.get("/patients").where == "/sign-in?again=1"
    assert "staff:robin timed out" in realm.log()


def unsigned(identity: Identity, claims: Claims) -> str:
    return jwt.encode(claims, None, algorithm="none", headers={"kid": identity.key.kid})


def with_the_clients_secret(identity: Identity, claims: Claims) -> str:
    return jwt.encode(claims, SECRET.ljust(32, "."), algorithm="HS256", headers={"kid": identity.key.kid})


def with_another_key(identity: Identity, claims: Claims) -> str:
    return jwt.encode(claims, Key("other").private, algorithm="RS256", headers={"kid": identity.key.kid})


def with_an_unknown_key(identity: Identity, claims: Claims) -> str:
    return signed(identity, claims, kid="unknown")


def garbage(identity: Identity, claims: Claims) -> str:
    return "no.token.atall"


NOW_SECONDS = int(NOW.timestamp())
SPOILT: dict[str, Callable[[Claims], Claims]] = {
    "wrong nonce": lambda claims: {**claims, "nonce": "another"},
    "no nonce": lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
    "wrong issuer": lambda claims: {**claims, "iss": "https://elsewhere.example"},
    "wrong audience": lambda claims: {**claims, "aud": "another-client"},
    "audience of several without us": lambda claims: {**claims, "aud": ["one", "two"], "azp": "one"},
    "issued to another party": lambda claims: {**claims, "aud": [CLIENT, "other"], "azp": "other"},
    "expired": lambda claims: {**claims, "iat": NOW_SECONDS - 900, "exp": NOW_SECONDS - 300},
    "without an end": lambda claims: {name: value for name, value in claims.items() if name != "exp"},
    "from the future": lambda claims: {**claims, "iat": NOW_SECONDS + 900, "exp": NOW_SECONDS + 1800},
    "without a subject": lambda claims: {name: value for name, value in claims.items() if name != "sub"},
    "of another access token": lambda claims: {**claims, "at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}
SIGNED = {
    "alg none": unsigned,
    "alg HS256": with_the_clients_secret,
    "a key of another provider": with_another_key,
    "unknown key": with_an_unknown_key,
    "no token": garbage,
}


@pytest.mark.parametrize("what", [*SPOILT, *SIGNED])
def test_an_invalid_id_token_is_refused(realm: Realm, what: str) -> None:
    realm.identity.spoil, realm.identity.sign = SPOILT.get(what, same), SIGNED.get(what)
    browser, seen = realm.enter()
    refused(seen, "could not be verified")
    assert browser.get("/patients").where == "/sign-in"
    assert realm.pages.users.list() == []
    assert "stranger refused sign in" in realm.log()
    assert "robin" not in realm.log()


def test_a_sign_in_can_be_used_once(realm: Realm) -> None:
    browser = realm.pages.stranger()
    realm.identity.person = ROBIN
    requested = realm.requested(browser)
    pending = browser.client.cookies["emr_sync_sign_in"]
    back = realm.sent_back(requested)
    assert browser.get(back).status == 303
    refused(browser.get(back), "started in another browser")
    thief = realm.pages.stranger()
    thief.client.cookies.set("emr_sync_sign_in", pending)
    refused(thief.get(back), "did not confirm your identity")
    again = realm.sent_back(requested)
    refused(thief.get(again), "was already used")
    assert "stranger refused sign in" in realm.log()


def test_a_sign_in_is_bound_to_its_browser(realm: Realm) -> None:
    realm.identity.person = ROBIN
    back = realm.sent_back(realm.requested(realm.pages.stranger()))
    victim = realm.pages.stranger()
    refused(victim.get(back), "started in another browser")
    realm.requested(victim)
    refused(victim.get(back), "started in another browser")


@pytest.mark.parametrize("change", [{"state": "guess"}, {"state": ""}, {"iss": "https://elsewhere.example"}])
def test_a_response_to_another_request_is_refused(realm: Realm, change: dict[str, str]) -> None:
    realm.identity.person, browser = ROBIN, realm.pages.stranger()
    url = urlsplit(realm.sent_back(realm.requested(browser)))
    query = {**dict(parse_qsl(url.query)), **change}
    refused(browser.get(f"{url.path}?{urlencode(query)}"), "started in another browser")


def test_an_expired_sign_in_must_be_restarted(realm: Realm) -> None:
    realm.identity.person, browser = ROBIN, realm.pages.stranger()
    back = realm.sent_back(realm.requested(browser))
    realm.pages.moment.advance(timedelta(minutes=11))
    refused(browser.get(back), "has expired")


def test_the_code_of_another_sign_in_is_refused_by_pkce(realm: Realm) -> None:
    realm.identity.person, victim, thief = ROBIN, realm.pages.stranger(), realm.pages.stranger()
    code = dict(parse_qsl(urlsplit(realm.sent_back(realm.requested(victim))).query))["code"]
    url = urlsplit(realm.sent_back(realm.requested(thief)))
    seen = thief.get(f"{url.path}?{urlencode({**dict(parse_qsl(url.query)), 'code': code})}")
    refused(seen, "did not confirm your identity")
    assert "Invented" not in seen.text


def test_a_cancelled_sign_in_can_be_restarted(realm: Realm) -> None:
    browser = realm.pages.stranger()
    requested = realm.requested(browser)
    answer = {"state": requested["state"], "iss": realm.identity.issuer, "error": "access_denied", "error_description": "robin said no"}
    seen = browser.get(f"/sign-in/openid/done?{urlencode(answer)}")
    refused(seen, "was not completed")
    assert "robin" not in seen.text


def test_a_rotated_provider_key_is_fetched_and_the_old_one_refused(realm: Realm) -> None:
    assert realm.enter()[1].status == 303
    assert realm.enter()[1].status == 303
    assert realm.identity.requests.count("/keys") == 1
    old = realm.identity.key
    realm.identity.rotate()
    assert realm.enter()[1].status == 303
    assert realm.identity.requests.count("/keys") == 2
    realm.identity.key = old
    refused(realm.enter()[1], "could not be verified")


def test_a_withdrawn_key_is_accepted_for_an_hour_at_most(realm: Realm) -> None:
    realm.enter()
    realm.identity.published[:] = [Key("second")]
    realm.pages.moment.advance(timedelta(minutes=61))
    refused(realm.enter()[1], "could not be verified")


def test_an_unavailable_provider_is_reported_and_passwords_still_work(realm: Realm) -> None:
    realm.identity.away = True
    refused(realm.pages.stranger().get("/sign-in/openid"), "does not respond", 503)
    assert realm.pages.signed_in("staff").get("/patients").status == 200
    realm.identity.away = False
    assert realm.enter()[1].status == 303


def test_a_provider_outage_during_a_sign_in_is_reported(realm: Realm) -> None:
    realm.identity.person, browser = ROBIN, realm.pages.stranger()
    back = realm.sent_back(realm.requested(browser))
    realm.identity.away = True
    refused(browser.get(back), "does not respond", 503)
    assert "stranger refused" not in realm.log()


def test_a_discovery_document_of_another_issuer_is_refused(realm: Realm) -> None:
    realm.identity.issuer_said = "https://elsewhere.example"
    refused(realm.pages.stranger().get("/sign-in/openid"), "does not match the configuration", 502)


def test_signing_out_ends_the_session_and_redirects_to_the_provider(realm: Realm) -> None:
    browser, _ = realm.enter()
    browser.get("/patients")
    seen = browser.post("/sign-out")
    assert "You are signed out" in seen.text
    assert "Max-Age=0" in seen.response.headers["set-cookie"]
    expected = {"client_id": CLIENT, "post_logout_redirect_uri": f"{realm.pages.url}/sign-in"}
    where = seen.response.text.split('href="http')[1].split('"')[0].replace("&amp;", "&")
    assert dict(parse_qsl(urlsplit(where).query)) == expected
    assert browser.get("/patients").where == "/sign-in"
    assert "staff:robin signed out" in realm.log()


def test_signing_out_works_while_the_provider_is_unavailable(realm: Realm) -> None:
    browser, _ = realm.enter()
    browser.get("/patients")
    realm.identity.away = True
    realm.pages.moment.advance(timedelta(minutes=20))
    assert browser.get("/patients").status == 200
    realm.pages.moment.advance(timedelta(minutes=29))
    assert browser.get("/patients").status == 200
    realm.pages.moment.advance(timedelta(minutes=29))
    assert browser.post("/sign-out").where == "/sign-in"


def test_a_provider_adds_two_routes_without_session(realm: Realm) -> None:
    found = {route for route in routes(realm.pages) if not route[1].startswith("/v1/")}
    assert found - OPEN - set(WHO) == {("GET", "/sign-in/openid"), ("GET", "/sign-in/openid/done")}


def test_without_a_provider_its_routes_do_not_exist(pages: Pages) -> None:
    browser = pages.stranger()
    assert browser.get("/sign-in/openid").status == 404
    assert "Sign in with" not in browser.get("/sign-in").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_user_signs_in_and_out_in_a_real_browser(chrome: Chrome, realm: Realm, scheme: Any) -> None:
    realm.identity.person = ROBIN
    context = chrome.new_context(base_url=realm.pages.url, color_scheme=scheme, viewport={"width": PHONE, "height": 800})
    context.set_default_timeout(20_000)
    tab, complaints = context.new_page(), []
    tab.on("console", lambda line: complaints.append(line.text) if "Content Security Policy" in line.text else None)
    tab.goto("/sign-in")
    assert violations(tab) == []
    tab.get_by_role("link", name="Sign in with Hospital sign-in").click()
    tab.get_by_role("button", name="It is me").click()
    expect(tab.get_by_text("robin, staff")).to_be_visible()
    expect(tab.get_by_label("Identifier")).to_be_visible()
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    assert realm.identity.requests[-1] == "/logout"
    tab.goto("/patients")
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    realm.identity.person = {**ROBIN, "groups": []}
    tab.get_by_role("link", name="Sign in with Hospital sign-in").click()
    tab.get_by_role("button", name="It is me").click()
    expect(tab.get_by_role("alert")).to_contain_text("have no role here")
    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    context.close()
    assert complaints == []
