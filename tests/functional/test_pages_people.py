"""The pages of the real service in a browser: the toggle, signing in, waits, timeout and forged forms."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from adapters.rehearsal.emr import RehearsalEmr
from store.db.database import Database
from store.db.tables_operations import UserSessionRow
from store.users.throttle import PACE_BOTH
from tests.functional.browsing import ADT, CLINIC, DESK, WALK_INS, Hospital, enter, press, sign_in, tab_to
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Hospital]:
    """One service for all tests: they do not affect each other."""
    folder = tmp_path_factory.mktemp("hospital")
    (folder / "hospital.db").write_bytes(sqlite_template.read_bytes())
    with RehearsalEmr(patients=60, seed=3) as emr:
        found = Hospital(emr, folder)
        found.fill()
        config = found.configured(folder)
        with found.serving(config):
            for source in (WALK_INS, ADT):
                assert found.sent(source, config, list(emr.messages(indexes=range(10)))) == 10
            yield found


@pytest.fixture
def page(chrome: Browser, hospital: Hospital) -> Iterator[Page]:
    with opened_tab(chrome, hospital.address) as opened:
        yield opened


def mrn(hospital: Hospital, index: int) -> str:
    """Patients by number: each test uses its own."""
    return hospital.emr.entry(index).person.mrn


def look_up(page: Page, value: str) -> None:
    page.goto("/patients")
    page.get_by_label("Identifier").fill(value)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", name="Do Not Contact:")).to_be_visible()


def flip(page: Page, to: str, why: str) -> None:
    page.get_by_text(f"Turn {to} …").click()
    page.get_by_label("Reason (kept in the history)").fill(why)
    page.get_by_role("button", name=f"Turn Do Not Contact {to}").click()
    expect(page.get_by_role("status")).to_have_text("Do Not Contact was changed.")
    expect(page.get_by_role("heading", name=f"Do Not Contact: {to}")).to_be_visible()


def test_the_toggle_is_switched_on_and_off_and_the_reasons_are_in_the_history(page: Page, hospital: Hospital) -> None:
    enter(page, hospital, "enterprise", DESK)
    look_up(page, mrn(hospital, 0))
    flip(page, "on", "asked at the desk")
    flip(page, "off", "asked again by phone")
    for why in ("“asked at the desk”", "“asked again by phone”"):
        expect(page.get_by_text(why)).to_be_visible()


def test_the_toggle_is_switched_with_the_keyboard_alone(page: Page, hospital: Hospital) -> None:
    name = f"enterprise-{DESK}"
    page.goto("/sign-in")
    tab_to(page, page.get_by_label("Name"))
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(hospital.passwords[name])
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Identifier"))
    page.keyboard.type(mrn(hospital, 1))
    page.keyboard.press("Enter")
    press(page, page.get_by_text("Turn on …"))
    tab_to(page, page.get_by_label("Reason (kept in the history)"))
    page.keyboard.type("asked at the desk")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Do Not Contact: on")).to_be_visible()


@pytest.mark.parametrize("role", ["manager", "staff"])
def test_managers_and_staff_see_the_toggle_and_cannot_switch_it(page: Page, hospital: Hospital, role: str) -> None:
    enter(page, hospital, role, DESK)
    look_up(page, mrn(hospital, 2))
    expect(page.get_by_text("Turn on …")).to_have_count(0)
    forged(page, f"{path(page)}/do-not-contact", value="yes", reason="forged")
    expect(page.get_by_role("alert")).to_be_visible()
    look_up(page, mrn(hospital, 2))
    expect(page.get_by_role("heading", name="Do Not Contact: unknown")).to_be_visible()
    expect(page.get_by_text("forged")).to_have_count(0)


def test_a_toggle_change_based_on_an_old_version_is_refused(page: Page, hospital: Hospital, chrome: Browser) -> None:
    enter(page, hospital, "enterprise", DESK)
    look_up(page, mrn(hospital, 3))
    with opened_tab(chrome, hospital.address) as other:
        enter(other, hospital, "enterprise", DESK)
        look_up(other, mrn(hospital, 3))
        flip(other, "on", "first")
    page.get_by_text("Turn on …").click()
    page.get_by_label("Reason (kept in the history)").fill("second")
    page.get_by_role("button", name="Turn Do Not Contact on").click()
    expect(page.get_by_role("alert")).to_contain_text("read it again before changing it")


def test_the_toggle_of_a_synced_patient_is_locked_even_for_a_forged_form(page: Page, hospital: Hospital) -> None:
    enter(page, hospital, "enterprise")
    look_up(page, hospital.refusing()[0])
    expect(page.get_by_role("heading", name="Do Not Contact: on locked")).to_be_visible()
    expect(page.locator(".lock-note").get_by_text("update this patient in")).to_be_visible()
    expect(page.get_by_text("Turn off …")).to_have_count(0)
    forged(page, f"{path(page)}/do-not-contact", value="no", reason="forged")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("heading", name="Do Not Contact: on locked")).to_be_visible()


def test_too_many_wrong_passwords_say_how_long_to_wait(page: Page, hospital: Hospital) -> None:
    """Waits double, so that one soon outlasts a slow browser. tests/store/users/test_users.py checks that the right password waits, too."""
    alert = ""
    for _ in range(PACE_BOTH.free * 3):
        sign_in(page, f"auditor-{DESK}", "wrong")
        alert = page.get_by_role("alert").inner_text()
        if "Too many failed attempts: wait" in alert:
            break
    assert "Too many failed attempts: wait" in alert
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)


def test_half_an_hour_of_inactivity_requires_signing_in_again(page: Page, hospital: Hospital) -> None:
    enter(page, hospital, "manager")
    pass_time(hospital, timedelta(minutes=31))
    page.goto("/patients")
    expect(page.get_by_role("alert")).to_contain_text("session has ended")
    enter(page, hospital, "manager")


def test_signing_out_ends_the_session_even_for_the_back_button(page: Page, hospital: Hospital) -> None:
    enter(page, hospital, "auditor")
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_form_with_another_token_is_refused(page: Page, hospital: Hospital) -> None:
    enter(page, hospital, "enterprise", DESK)
    look_up(page, mrn(hospital, 4))
    forged(page, f"{path(page)}/do-not-contact", value="yes", reason="forged", csrf="guess")
    expect(page.get_by_role("alert")).to_contain_text("reload the page")
    look_up(page, mrn(hospital, 4))
    expect(page.get_by_role("heading", name="Do Not Contact: unknown")).to_be_visible()


def test_a_form_from_another_site_is_refused(page: Page, hospital: Hospital) -> None:
    enter(page, hospital, "enterprise", DESK)
    look_up(page, mrn(hospital, 5))
    target, token = f"{hospital.address}{path(page)}/do-not-contact", page.locator("input[name=csrf]").first.input_value()
    fields = "".join(f'<input name="{name}" value="{value}">' for name, value in (("csrf", token), ("value", "yes"), ("reason", "forged")))
    with elsewhere(f'<form method="post" action="{target}">{fields}<button>Win a prize</button></form>') as address:
        page.goto(address)
        page.get_by_role("button", name="Win a prize").click()
        expect(page.get_by_role("alert")).to_contain_text("sent from another site")
    look_up(page, mrn(hospital, 5))
    expect(page.get_by_role("heading", name="Do Not Contact: unknown")).to_be_visible()


def path(page: Page) -> str:
    """The path of the current page."""
    return page.url.removeprefix(page.evaluate("location.origin")).partition("?")[0]


def forged(page: Page, action: str, **fields: str) -> None:
    """Sends a forged form from our own site, with the session's token unless another is given."""
    page.evaluate(
        """([action, fields]) => {
            const form = document.createElement('form');
            form.method = 'post'; form.action = action;
            const token = document.querySelector('input[name=csrf]').value;
            for (const [name, value] of Object.entries({csrf: token, ...fields})) {
                const input = document.createElement('input');
                input.name = name; input.value = value; form.append(input);
            }
            document.body.append(form); form.submit();
        }""",
        [action, fields],
    )
    page.wait_for_url(f"**{action}")


def pass_time(hospital: Hospital, time: timedelta) -> None:
    """Moves the last use of every session into the past."""
    database = Database.open(f"sqlite:///{hospital.folder / 'hospital.db'}")
    with database.write(CLINIC) as transaction:
        rows = database.select(transaction, "SELECT digest FROM user_sessions", [])
        seen = datetime.now(UTC) - time
        database.update(transaction, UserSessionRow, ("digest",), ("seen",), [(seen, digest) for (digest,) in rows])
    database.close()


@contextmanager
def elsewhere(body: str) -> Iterator[str]:
    """Serves another site with one page; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
