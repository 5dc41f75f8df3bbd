"""Makes the pictures of the README from the real pages, over the rehearsal EMR: ``python docs/screenshots.py``.

Writes docs/screenshots/*.png and needs a Chromium (``make browser``). Everything to be seen is invented.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from adapters.base import Fetch
from adapters.rehearsal.emr import RehearsalEmr
from store.runs.source_checks import Checked, Findings
from sync import demo
from sync.dry_run import dry_run
from sync.runtime import adapter, lane
from sync.service import Service

FOLDER = Path(__file__).parent / "screenshots"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]


class Picture(NamedTuple):
    """One picture: who looks at what, how wide, and in which colours."""

    name: str
    user: str
    path: str
    width: int
    scheme: Literal["light", "dark"]
    height: int = 900


def main() -> None:
    """Runs the demo on loopback and looks at it."""
    chromium = shutil.which("chromium") or sys.exit("no Chromium on this machine: make browser installs it")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        RehearsalEmr(patients=400, seed=1) as emr,
        demo.staged(emr, Path(folder), lambda *_, **__: None) as (service, watched),
    ):
        demo.read_changes(emr, service, watched)
        demo.send_messages(emr, service, lambda _: None)
        demo.decisions(emr, service)
        unmapped(emr, service)
        looked_into(emr, service)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            take(browser, service, pictures(f"/patients/{demo.locked_patient(emr, service).id}", newest_cause(service)))
            browser.close()


def looked_into(emr: RehearsalEmr, service: Service) -> None:
    """What an engineer does: ``check`` and a comparison, which the source's page shows."""
    runtime, feed = service.runtime, service.runtime.feed(demo.FHIR)
    lines = tuple(Checked(one.what, one.ok, one.detail) for one in adapter(feed).check())
    findings = Findings(runtime.database)
    findings.keep_check(feed.name, feed.enterprise, lines, now=runtime.clock())
    found = dry_run(runtime.engine, lane(feed), runtime.polled(feed), Fetch(full=True))
    findings.keep_comparison(feed.name, feed.enterprise, found.compared, now=runtime.clock())


def unmapped(emr: RehearsalEmr, service: Service) -> None:
    """The EMR introduces a code that the mapping does not know, as happens at night."""
    host, port = cast(Any, service.listeners[0].listener).address
    messages = emr.messages(indexes=range(8))
    emr.send(host, port, (re.sub(rb"\rZCP\|1\|[A-Z]*", b"\rZCP|1|NOCALL", one) for one in messages))


def newest_cause(service: Service) -> str:
    """The page of a cause of rejections."""
    (newest, *_) = service.runtime.journal.rejections(limit=1)
    return f"/rejections/{newest.id}/cause"


def pictures(facesheet: str, cause: str) -> list[Picture]:
    """What the README shows."""
    return [
        Picture("facesheet", "pat", facesheet, 1000, "light", 900),
        Picture("facesheet-narrow-dark", "pat", facesheet, 390, "dark", 900),
        Picture("source", "olga", f"/sources/{demo.FHIR}", 1000, "light", 900),
        Picture("sources-narrow", "olga", "/sources", 390, "light", 900),
        Picture("overview", "olga", "/overview", 1000, "light", 620),
        Picture("cause", "olga", cause, 1000, "light", 900),
        Picture("opt-outs-dark", "pat", "/opt-outs", 1000, "dark", 420),
    ]


def take(browser: Browser, service: Service, wanted: list[Picture]) -> None:
    """Signs each user in once, and takes their pictures."""
    passwords = {name: password for name, password, _ in demo.people(service)}
    for user, password in passwords.items():
        context = browser.new_context(base_url=f"http://{service.address}")
        sign_in(context, user, password)
        for one in (picture for picture in wanted if picture.user == user):
            page = context.new_page()
            page.set_viewport_size({"width": one.width, "height": one.height})
            page.emulate_media(color_scheme=one.scheme)
            page.goto(one.path)
            page.screenshot(path=FOLDER / f"{one.name}.png")
        context.close()


def sign_in(context: BrowserContext, user: str, password: str) -> None:
    """As people do."""
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("Name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()


if __name__ == "__main__":
    main()
