"""Every page in every state, light and dark, narrow and wide: no accessibility violations by axe, and no overflow.

The list of pages comes from the application: a new page without a visit here fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect

from store.users.sessions import Sessions
from tests.spec.access import CAUSE, DECISION, OPEN, PATIENT, REJECTION, RUN, SOURCE
from tests.store.web.conftest import CELL
from tests.store.web.pages.browser import PATIENCE_MS
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.conftest import Pages, serve_pages
from tests.store.web.pages.filled import LONG, Filled
from tests.store.web.pages.test_routes import routes

SERIOUS = {"serious", "critical"}
HEIGHT = 800
VIEWS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1280, "light"), (390, "light"), (320, "light"), (320, "dark"), (1280, "dark"))
"""How wide, and in which colours."""
FIND = (
    """() => axe.run({resultTypes: ['violations']}).then(found => found.violations.map(one => [one.id, one.impact, one.nodes[0].html]))"""
)
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNKNOWN = "/patients/pt_0000000000000000"


class World(NamedTuple):
    """An empty service, and one with content on every page."""

    empty: Pages
    full: Filled


Where = Callable[[World], tuple[Pages, str]]


class Visit(NamedTuple):
    """A visit to a page in one state. ``action``: what the user does before the check."""

    state: str
    who: str | None
    where: Where
    action: Callable[[Page], object] = lambda page: None
    enterprise: str = "general"


BOX = "Name, birth date, phone or identifier"


def empty(path: str) -> Where:
    return lambda world: (world.empty, path)


def full(path: str) -> Where:
    return lambda world: (world.full.pages, path)


def sheet(value: str, enterprise: str = "general") -> Where:
    return lambda world: (world.full.pages, world.full.patient(value, enterprise))


def with_id(name: str, path: str = "/runs/{}") -> Where:
    """A path about a run or rejection of the full service, by its name there."""
    return lambda world: (world.full.pages, path.format(getattr(world.full, name)))


def open_details(page: Page) -> None:
    """Opens every collapsed section."""
    page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")


def submit_form(button: str, **fields: str) -> Callable[[Page], None]:
    """Submits a filled form without the browser's own validation."""

    def send(page: Page) -> None:
        page.evaluate("() => document.querySelectorAll('form').forEach(one => one.noValidate = true)")
        for label, text in fields.items():
            page.get_by_label(label.replace("_", " "), exact=True).fill(text)
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_role("alert").first).to_be_visible()

    return send


def submit_new(button: str, **fields: str) -> Callable[[Page], None]:
    """Submits a form whose answer shows a secret once."""

    def send(page: Page) -> None:
        for label, text in fields.items():
            page.get_by_label(label.replace("_", " "), exact=True).fill(text)
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.locator("code.secret")).to_be_visible()

    return send


def search(text: str) -> Callable[[Page], None]:
    """Looks for patients and finds some."""

    def find(page: Page) -> None:
        page.get_by_label(BOX).fill(text)
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Table of the patients found").get_by_role("link").first).to_be_visible()

    return find


def view_and_return(value: str) -> Callable[[Page], None]:
    """Views a facesheet and goes back to the box."""

    def view(page: Page) -> None:
        page.get_by_label(BOX).fill(value)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Find another patient").click()
        expect(page.get_by_role("region", name="Table of recent patients").get_by_role("link").first).to_be_visible()

    return view


def switch_with_old_version(page: Page) -> None:
    """Switches the toggle of a patient that has changed in the meantime."""
    open_details(page)
    page.evaluate("() => document.querySelectorAll('input[name=version]').forEach(one => one.value = '0')")
    page.get_by_label("Reason (kept in the history)").first.fill("asked")
    page.get_by_role("button", name="Turn Do Not Contact").first.click()
    expect(page.get_by_role("alert").first).to_be_visible()


def submit_forged_choice(page: Page) -> None:
    """Submits a choice that the form does not offer."""
    page.evaluate("() => document.querySelectorAll('input[type=radio]').forEach(one => one.value = 'guess')")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").first).to_be_visible()


def permit_more(page: Page) -> None:
    """Chooses what would permit more contact."""
    for answer in page.get_by_role("radio", name="Answer and flag").all():
        answer.check()
    page.get_by_role("radio", name="Try the next channel").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="This would permit more contact")).to_be_visible()


def ask_a_question(page: Page) -> None:
    """Asks what a sender would be told, with every field filled in."""
    open_details(page)
    for label, text in {"Line": "+12175550190", "Topic": "billing", "Phone chosen for the appointment": "+12175550144"}.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("Time of sending").fill("2031-07-01T09:30")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("heading", name="This message")).to_be_visible()
    open_details(page)


def ask_nothing(page: Page) -> None:
    """Asks about a message without a channel."""
    open_details(page)
    for channel in ("text", "call", "e-mail"):
        page.get_by_role("checkbox", name=channel, exact=True).uncheck()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Select at least one channel.")


def preview_replay(page: Page) -> None:
    """Previews the replay of a cause."""
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("button", name="Replay")).to_be_visible()


VISITS: Mapping[str, tuple[Visit, ...]] = {
    "/sign-in": (
        Visit("empty", None, empty("/sign-in")),
        Visit("over", None, empty("/sign-in?again=1")),
        Visit("unsaved", None, empty("/sign-in?again=unsaved")),
        Visit("error", None, empty("/sign-in"), submit_form("Sign in", Name="nobody", Password="wrong")),
    ),
    "/": (Visit("first page", "staff", empty("/")),),
    "/password": (
        Visit("empty", "staff", empty("/password")),
        Visit("error", "staff", empty("/password"), submit_form("Change password", Current_password="wrong")),
    ),
    "/patients": (
        Visit("empty", "staff", empty("/patients")),
        Visit("error", "staff", empty("/patients"), submit_form("Find", **{BOX: "NOBODY"})),
        Visit("found", "staff", full("/patients"), search("1")),
        Visit("found, no toggle", "manager", full("/patients"), search(CELL), "quiet"),
        Visit("recent", "enterprise", full("/patients"), view_and_return("LONG")),
    ),
    PATIENT: (
        *(Visit(f"locked, {role}", role, sheet("MRN2"), open_details) for role in ("enterprise", "manager", "staff", "auditor")),
        Visit("full", "enterprise", sheet("LONG"), open_details),
        Visit("bare, merged", "staff", sheet("BARE"), open_details),
        Visit("deceased", "staff", sheet("DEAD")),
        Visit("restricted", "staff", sheet("CLOSED")),
        Visit("toggle", "enterprise", sheet("MRN1", "local"), open_details, "local"),
        Visit("toggle of others", "manager", sheet("MRN1", "local"), open_details, "local"),
        Visit("error", "enterprise", sheet("MRN1", "local"), switch_with_old_version, "local"),
        Visit("no toggle", "enterprise", sheet("MRN1", "quiet"), open_details, "quiet"),
        Visit("unknown", "staff", empty(UNKNOWN)),
        Visit("unreadable, reconciled", "staff", sheet("UNREAD"), open_details),
        Visit("asked", "auditor", sheet("UNREAD"), ask_a_question),
        Visit("asked in vain", "manager", sheet("LONG"), ask_nothing),
    ),
    "/decisions": (
        Visit("empty", "staff", empty("/decisions")),
        Visit("error", "auditor", empty("/decisions"), submit_form("Find", Decision_ID="dec_0")),
    ),
    DECISION: (
        Visit("full", "enterprise", with_id("decision", "/decisions/{}")),
        Visit("of nobody", "auditor", with_id("unanswered", "/decisions/{}")),
        Visit("unknown", "manager", empty("/decisions/dec_0")),
    ),
    "/replies": (
        Visit("empty", "staff", empty("/replies")),
        Visit("full", "enterprise", full("/replies")),
        Visit("full, to look at only", "auditor", full("/replies")),
    ),
    "/worklist": (
        Visit("not configured", "staff", empty("/worklist")),
        Visit("full", "enterprise", full("/worklist"), enterprise="quiet"),
        Visit("full, to look at only", "auditor", full("/worklist"), enterprise="quiet"),
    ),
    "/opt-outs": (
        Visit("empty", "manager", empty("/opt-outs")),
        Visit("full", "enterprise", full("/opt-outs")),
        Visit("error", "enterprise", full("/opt-outs"), submit_form("Show", Number_contains="none")),
    ),
    "/settings": (
        Visit("locked", "enterprise", empty("/settings")),
        Visit("full", "enterprise", full("/settings"), enterprise="local"),
        Visit("error", "enterprise", full("/settings"), submit_forged_choice, "local"),
        Visit("to confirm", "enterprise", full("/settings"), permit_more),
        Visit("held", "enterprise", full("/settings")),
        Visit("refused", "staff", empty("/settings")),
    ),
    "/overview": (Visit("empty", "operator", empty("/overview")), Visit("full", "operator", full("/overview"))),
    "/undelivered": (Visit("empty", "operator", empty("/undelivered")), Visit("full", "operator", full("/undelivered"))),
    "/runs": (
        Visit("empty", "operator", empty("/runs")),
        Visit("full, running", "operator", full("/runs")),
        Visit("none match", "operator", full("/runs?state=stopped")),
        Visit("error", "operator", full("/runs?state=odd")),
    ),
    "/sources": (Visit("empty", "operator", empty("/sources")), Visit("full, held", "operator", full("/sources"), open_details)),
    SOURCE: (
        Visit("empty", "operator", empty("/sources/genhosp-adt")),
        Visit("full, running", "operator", full("/sources/genhosp-adt"), open_details),
        Visit("unknown", "operator", empty("/sources/none")),
    ),
    RUN: (
        Visit("held", "operator", with_id("held"), open_details),
        Visit("held settings", "operator", with_id("settings")),
        Visit("held configuration", "operator", with_id("configuration"), open_details),
        Visit("running", "operator", with_id("running")),
        Visit("done", "operator", with_id("done")),
        Visit("failed", "operator", with_id("failed")),
        Visit("unknown", "operator", empty("/runs/run_0")),
    ),
    "/rejections": (
        Visit("empty", "operator", empty("/rejections")),
        Visit("full", "operator", full("/rejections?status=all")),
    ),
    REJECTION: (
        Visit("open", "operator", with_id("rejection", "/rejections/{}")),
        Visit("resolved", "operator", with_id("resolved", "/rejections/{}"), enterprise="local"),
    ),
    CAUSE: (
        Visit("open", "operator", with_id("rejection", "/rejections/{}/cause?codes=1")),
        Visit("previewed", "operator", with_id("rejection", "/rejections/{}/cause"), preview_replay),
        Visit("resolved", "operator", with_id("resolved", "/rejections/{}/cause"), enterprise="local"),
        Visit("of no mapping", "operator", with_id("unusable", "/rejections/{}/cause")),
        Visit("unknown", "operator", empty("/rejections/rej_0/cause")),
    ),
    "/users": (
        Visit("nobody else", "administrator", empty("/users")),
        Visit("full", "administrator", full("/users"), open_details),
        Visit("error", "administrator", full("/users"), submit_form("Add")),
        Visit("added", "administrator", full("/users"), submit_new("Add", Name=LONG)),
    ),
    "/keys": (
        Visit("empty", "administrator", empty("/keys")),
        Visit("full", "administrator", full("/keys"), open_details),
        Visit("error", "administrator", full("/keys"), submit_form("Create")),
        Visit("created", "administrator", full("/keys"), submit_new("Create", Who_will_use_it="reminders")),
    ),
    "/audit": (Visit("full", "auditor", full("/audit")), Visit("of nobody", "auditor", empty("/audit?subject=pt_0"))),
}


@pytest.fixture(scope="module")
def world(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("worlds")
    urls = []
    for name in ("empty", "full"):
        (folder / f"{name}.db").write_bytes(sqlite_template.read_bytes())
        urls.append(f"sqlite:///{folder / name}.db")
    one, other = (serve_pages(url) for url in urls)
    yield World(next(one), Filled(next(other)))
    for served in (one, other):
        assert next(served, None) is None


def test_every_page_has_its_visits(world: World) -> None:
    found = {path for method, path in routes(world.empty) if method == "GET" and not path.startswith("/v1/")}
    without_people = {path for method, path in OPEN if method == "GET"} - {"/sign-in"}
    assert found - without_people == set(VISITS)


@pytest.fixture(scope="module")
def tab(chrome: Browser) -> Iterator[Page]:
    """One tab for all visits: a new one would compile axe and our own scripts again. Each visit begins without cookies."""
    context = chrome.new_context(reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("visit", [pytest.param(one, id=f"{path} {one.state}") for path, visits in VISITS.items() for one in visits])
def test_axe_finds_nothing_serious(tab: Page, world: World, visit: Visit) -> None:
    assert problems_of(tab, world, visit) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", [None, "staff"])
def test_axe_finds_nothing_serious_at_an_address_that_does_not_exist(tab: Page, world: World, who: str | None) -> None:
    def is_shown(page: Page) -> None:
        expect(page.get_by_role("heading", name="This page does not exist")).to_be_visible()

    assert problems_of(tab, world, Visit("unknown address", who, empty("/nonsense"), is_shown)) == []


def problems_of(tab: Page, world: World, visit: Visit) -> list[Any]:
    """The problems of one page in one state, in every width and color scheme."""
    pages, path = visit.where(world)
    tab.context.clear_cookies()
    if visit.who:
        tab.context.add_cookies([{"name": "emr_sync_session", "value": session(pages, visit), "url": pages.url}])
    look(tab, *VIEWS[0])
    tab.goto(f"{pages.url}{path}")
    visit.action(tab)
    tab.evaluate(AXE_SCRIPT)
    return [problem for view in VIEWS for problem in problems(tab, *view)]


def look(tab: Page, width: int, scheme: Literal["light", "dark"]) -> None:
    tab.set_viewport_size({"width": width, "height": HEIGHT})
    tab.emulate_media(color_scheme=scheme)


def problems(page: Page, width: int, scheme: Literal["light", "dark"]) -> list[Any]:
    look(page, width, scheme)
    found = [(width, scheme, *one) for one in page.evaluate(FIND) if one[1] in SERIOUS]
    return [*found, *([(width, "wider than the window")] if page.evaluate(WIDER) > 0 else [])]


def session(pages: Pages, visit: Visit) -> str:
    """Creates a session without the sign-in page."""
    name, _ = pages.user(visit.who or "", visit.enterprise)
    sessions = Sessions(pages.store.database, idle=timedelta(minutes=30), longest=timedelta(hours=12))
    return sessions.begin(pages.users.find(name), visit.enterprise, pages.moment())
