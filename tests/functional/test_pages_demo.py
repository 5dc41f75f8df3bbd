"""The end of ``make demo``: its output is enough to sign in, and the pages have content."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, expect

from tests.functional.browsing import sign_in
from tests.functional.program import EMR_SYNC
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab

PLACE = re.compile(r"http://127\.0\.0\.1:\d+/(patients/\w+|sources)")
USER = re.compile(r"sign in as (\w+) \(\w+\), password (\S+)")


class DemoOutput(NamedTuple):
    """The URLs and credentials that the demo printed."""

    facesheet: str
    console: str
    users: dict[str, str]


@pytest.fixture
def demo() -> Iterator[DemoOutput]:
    """Runs the demo until the test is over."""
    command = [EMR_SYNC, "demo", "--patients", "100"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as process:
        assert process.stdout is not None
        users: dict[str, str] = {}
        places: list[str] = []
        for line in process.stdout:
            places += [found[0] for found in PLACE.finditer(line)]
            users |= dict(USER.findall(line))
            if len(users) == 2:
                break
        try:
            assert len(users) == 2, "the demo ended"
            yield DemoOutput(*places, users)
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()
    assert process.returncode == 0


@pytest.mark.timeout(300)
def test_the_demo_ends_at_a_facesheet_and_a_console_to_sign_in_to(chrome: Browser, demo: DemoOutput) -> None:
    address = demo.console.removesuffix("/sources")
    with opened_tab(chrome, address) as page:
        sign_in(page, "pat", demo.users["pat"])
        expect(page.get_by_role("heading", name="Find a patient")).to_be_visible()
        page.goto(demo.facesheet)
        expect(page.get_by_role("heading", name="Do Not Contact: on locked")).to_be_visible()
        for heading in ("What would a sender be told?", "History"):
            expect(page.get_by_role("heading", name=heading)).to_be_visible()
        expect(page.get_by_text("Send by").first).to_be_visible()
    with opened_tab(chrome, address) as page:
        sign_in(page, "olga", demo.users["olga"])
        page.goto(demo.console)
        expect(page.get_by_role("heading", name="Rehearsal EMR (FHIR)")).to_be_visible()
        expect(page.get_by_role("heading", name="Rehearsal EMR (ADT feed)")).to_be_visible()
