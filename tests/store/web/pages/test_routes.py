"""Every page and every form action, called directly in every role: no role can do more than its pages show.

The routes are those of the application, who may come is in tests/spec/access.py. A new one without an entry there fails the test.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from store.users.sessions import Sessions
from tests.spec.access import KEY, OPEN, PATIENT, REJECTION, ROLES, RUN, SOURCE, USER
from tests.spec.access import PAGES as WHO
from tests.store.web.conftest import ENTERPRISES, HOME, LINE
from tests.store.web.pages.conftest import Browser, Pages
from tests.store.web.pages.test_console import held, rejected
from tests.store.web.pages.test_decisions import decided
from tests.store.web.pages.test_replies import unclear
from tests.store.web.pages.test_undelivered import disabled

COLLEAGUES = itertools.count()
CHOSEN = "tulip hammer river"
FORMS: Mapping[str, Mapping[str, str]] = {
    "/enterprise": {"enterprise": "general"},
    "/patients": {"value": "MRN1"},
    f"{PATIENT}/decision": {"message_type": "automation", "sms": "1"},
    f"{PATIENT}/do-not-contact": {"value": "yes", "reason": "asked"},
    f"{PATIENT}/preferred-phone": {"number": HOME},
    f"{PATIENT}/sms-consent": {"line": LINE, "reason": "asked"},
    "/users": {"name": "a new one", "role": "staff"},
    f"{USER}/role": {"role": "auditor"},
    "/keys": {"form": "one of its own", "name": "a new one", "role": "sender", "expires": "90"},
    "/settings": {"when_stale": "refuse", "do_not_contact_toggle": "false"},
}
"""A form that would do something, for whoever may."""
OF_VISITS = {"user_sessions", "chain_links", "chain_heads"}
"""What changes by looking: who is there, and the audit log."""
ACTION = re.compile(r'<form method="post" action="([^"]+)"')


def colleague(pages: Pages, enterprise: str) -> str:
    """The id of a new user of the enterprise."""
    return pages.users.add(f"colleague {next(COLLEAGUES)}", enterprise, "staff", pages.moment())[0].id


@dataclass
class Caller:
    """A user who calls URLs directly, each time in a new session."""

    pages: Pages
    role: str
    enterprise: str

    def __post_init__(self) -> None:
        self.name, self.password = self.pages.user(self.role, self.enterprise)
        self.browser = self.pages.stranger()
        self.sessions = Sessions(self.pages.store.database, idle=timedelta(minutes=30), longest=timedelta(hours=12))
        self.ids = {
            "patient_id:str": self.pages.patient(enterprise=self.enterprise).removeprefix("/patients/"),
            "decision_id:str": decided(self.pages, self.enterprise),
            "run_id:str": held(self.pages),
            "rejection_id:str": rejected(self.pages, self.enterprise, self.source),
            "reply_id:str": unclear(self.pages, self.enterprise),
            "source:str": self.source,
            "endpoint:str": disabled(self.pages, self.enterprise),
            "user_id:str": colleague(self.pages, self.enterprise),
            "key_id:str": self.pages.keys.create("a sender", self.enterprise, "sender", self.pages.moment())[0],
        }

    @property
    def source(self) -> str:
        return ENTERPRISES[self.enterprise].sources[0].name

    def at(self, path: str) -> str:
        """The URL of a route with ids of this enterprise."""
        return re.sub(r"{([^}]+)}", lambda found: self.ids[found[1]], path)

    def signed_in(self) -> Browser:
        """The browser, in a new session."""
        now = self.pages.moment()
        secret = self.sessions.begin(self.pages.users.find(self.name), self.enterprise, now)
        visitor = self.sessions.visitor(secret, now)
        assert visitor is not None
        self.browser.client.cookies.set("emr_sync_session", secret)
        self.browser.token = visitor.csrf
        return self.browser

    def call(self, method: str, path: str) -> int:
        """The status of the response."""
        browser = self.signed_in()
        if method == "GET":
            return browser.get(self.at(path)).status
        form = {"current": self.password, "new": CHOSEN, "again": CHOSEN} if path == "/password" else FORMS.get(path, {})
        return browser.post(self.at(path), **form).status

    def shown(self) -> set[str]:
        """The actions of all forms on the pages of this role."""
        browser = self.signed_in()
        seen = [browser.get(self.at(path)) for (method, path), roles in WHO.items() if method == "GET" and self.role in roles]
        return {action for one in seen for action in ACTION.findall(one.response.text)}

    def state(self) -> dict[str, list[Any]]:
        """Everything stored, without traces of visits; and the requests to ``sync``."""
        database = self.pages.store.database
        with database.read() as connection:
            tables = [row[0] for row in database.select(connection, "SELECT name FROM sqlite_master WHERE type = 'table'", [])]
            kept = {name: [tuple(row) for row in database.select(connection, f"SELECT * FROM {name}", [])] for name in tables}
        return {name: rows for name, rows in kept.items() if name not in OF_VISITS} | {"asked": list(self.pages.requested)}


def routes(pages: Pages) -> Iterator[tuple[str, str]]:
    """Every method and path of the application."""
    for route in pages.app.framework.routes:
        yield from ((method, route.path) for method in route.methods if method not in ("HEAD", "OPTIONS"))


def test_every_route_has_an_access_rule(pages: Pages) -> None:
    found = {route for route in routes(pages) if not route[1].startswith("/v1/")}
    assert found - OPEN == set(WHO)
    assert found >= OPEN


@pytest.mark.parametrize("enterprise", ["general", "local"])
@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_do_no_more_than_its_pages_show(fresh_pages: Pages, role: str, enterprise: str) -> None:
    caller = Caller(fresh_pages, role, enterprise)
    for (method, path), roles in WHO.items():
        shown, before = caller.shown() if method == "POST" and role in roles else set(), caller.state()
        status = caller.call(method, path)
        changed = caller.state() != before
        if role not in roles:
            assert (status, changed) == (403, False), (method, path)
        elif method == "GET":
            own = enterprise == "general" or path != RUN
            assert (status, changed) == (303 if path == "/" else 200 if own else 404, False), path
        elif changed:
            assert caller.at(path) in shown, path


def test_a_role_can_do_what_its_pages_show(fresh_pages: Pages) -> None:
    """Ensures that the test above does not pass because nothing works."""
    done = set()
    for role, enterprise in (("staff", "local"), ("enterprise", "local"), ("operator", "general"), ("administrator", "general")):
        caller = Caller(fresh_pages, role, enterprise)
        for method, path in WHO:
            before = caller.state()
            if method == "POST" and caller.call(method, path) == 303 and caller.state() != before:
                done.add((role, path))
            if (role, path) == ("operator", f"{RUN}/approve"):
                caller.ids["run_id:str"] = held(fresh_pages)
    assert {path for role, path in done if role == "staff"} == {f"{PATIENT}/preferred-phone", f"{PATIENT}/sms-consent", "/password"}
    assert {("enterprise", f"{PATIENT}/do-not-contact"), ("enterprise", "/settings")} <= done
    assert {("administrator", path) for path in (f"{USER}/role", f"{USER}/disable", f"{KEY}/revoke")} <= done
    assert {("operator", path) for path in (f"{RUN}/approve", f"{RUN}/reject", f"{REJECTION}/replay", f"{SOURCE}/resync")} <= done


@pytest.mark.parametrize("form", ["none", "empty", "twice", "in the address"])
def test_a_form_without_its_csrf_token_is_refused(fresh_pages: Pages, form: str) -> None:
    """Another site can send a form with the visitor's cookie, but it cannot know the token."""
    for role in ROLES:
        caller = Caller(fresh_pages, role, "local")
        for method, path in WHO:
            if method != "POST" or role not in WHO[method, path]:
                continue
            browser, before = caller.signed_in(), caller.state()
            data = {**FORMS.get(path, {}), **{"empty": {"csrf": ""}, "twice": {"csrf": ["", browser.token[:-1]]}}.get(form, {})}
            query = f"?csrf={browser.token}" if form == "in the address" else ""
            assert browser.client.post(caller.at(path) + query, data=data).status_code == 403, (role, path)
            assert caller.state() == before, (role, path)


def test_requests_without_a_session_lead_to_sign_in_and_change_nothing(fresh_pages: Pages) -> None:
    caller = Caller(fresh_pages, "staff", "local")
    before, stranger = caller.state(), fresh_pages.stranger()
    for method, path in WHO:
        seen = stranger.get(caller.at(path)) if method == "GET" else stranger.post(caller.at(path), **FORMS.get(path, {}))
        where = "/sign-in" if method == "GET" or path in ("/password", "/sign-out") else "/sign-in?again=unsaved"
        assert (seen.status, seen.where) == (303, where), path
    assert caller.state() == before


def test_data_of_another_enterprise_is_not_found(fresh_pages: Pages) -> None:
    for role in ROLES:
        caller = Caller(fresh_pages, role, "local")
        other = Caller(fresh_pages, role, "general")
        caller.ids = other.ids
        before = caller.state()
        for (method, path), roles in WHO.items():
            if role in roles and "{" in path:
                assert caller.call(method, path) == 404, (method, path)
        assert caller.state() == before


def test_a_session_gives_no_access_to_the_api(fresh_pages: Pages) -> None:
    browser = Caller(fresh_pages, "enterprise", "general").signed_in()
    keyed = [(method, path) for method, path in routes(fresh_pages) if path.startswith("/v1/")]
    assert len(keyed) > 20
    for method, path in keyed:
        answer = browser.client.request(method, re.sub(r"{[^}]+}", "x", path), content=b"{}")
        assert answer.status_code == 401, (method, path)
