"""A resync from the button, followed on the page of its run: the real service, the rehearsal EMR over HTTP, and Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.faults import Fault
from sync import demo
from sync.service import Service
from tests.store.web.pages.browser import chrome as chrome

PATIENTS, PATIENCE = 60, 60_000


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[RehearsalEmr, Service]]:
    """The service of the demo, after its first read."""
    quiet = lambda *_, **__: None  # noqa: E731 - nobody watches the first read
    with RehearsalEmr(patients=PATIENTS, seed=3) as emr, demo.staged(emr, tmp_path, quiet) as (service, _):
        yield emr, service


def signed_in(chrome: Browser, service: Service) -> Page:
    page = chrome.new_context(base_url=f"http://{service.address}").new_page()
    page.set_default_timeout(PATIENCE)
    name, password, _ = next(person for person in demo.people(service) if person[2] == "operator")
    page.goto("/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    return page


def blocked(emr: RehearsalEmr, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Blocks the EMR's responses about patients until the test releases them."""
    answers, fault = threading.Event(), emr.faults.next

    def next_fault() -> Fault | None:
        answers.wait(PATIENCE / 1000)
        return fault()

    monkeypatch.setattr(emr.faults, "next", next_fault)
    return answers


def test_a_resync_from_the_button_shows_progress_to_its_end_without_a_reload(
    chrome: Browser, watched: tuple[RehearsalEmr, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    emr, service = watched
    changed = len(emr.tick())
    answers = blocked(emr, monkeypatch)
    page = signed_in(chrome, service)
    page.get_by_role("link", name="Sources").click()
    page.get_by_role("link", name="Rehearsal EMR (FHIR)").click()
    page.get_by_role("button", name="Resync now").click()
    expect(page.get_by_role("heading", name="Progress")).to_be_visible()
    page.evaluate("window.stayed = true")
    answers.set()
    expect(page.get_by_text("DONE", exact=True)).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("window.stayed") is True
    expect(page.locator("[aria-live=polite]")).to_contain_text(f"Done, {changed} records")
    page.get_by_role("link", name="Rehearsal EMR (FHIR)").click()
    expect(page.get_by_role("region", name="Runs of this source")).to_contain_text("resync")
    expect(page.get_by_role("img", name="Intake by hour")).to_be_visible()
    page.context.close()
