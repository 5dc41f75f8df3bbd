"""Makes the pictures of the README from the real pages, over the rehearsal EMR: ``python docs/screenshots.py``.

Writes docs/screenshots/*.png and needs a Chromium (``make browser``). Everything to be seen is invented.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from adapters.rehearsal.emr import RehearsalEmr
from sync import demo
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
        sync_playwright() as playwright,
    ):
        demo.read_changes(emr, service, watched)
        demo.decisions(emr, service)
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        take(browser, service, pictures(f"/patients/{demo.locked_patient(emr, service).id}", service))
        browser.close()


def pictures(facesheet: str, service: Service) -> list[Picture]:
    """What the README shows."""
    run = service.parts.journal.runs(demo.ENTERPRISE, demo.FHIR, 1)[0]
    return [
        Picture("facesheet", "pat", facesheet, 1120, "light", 1140),
        Picture("facesheet-narrow-dark", "pat", facesheet, 390, "dark", 1100),
        Picture("settings-dark", "pat", "/settings", 1280, "dark", 800),
        Picture("source", "olga", f"/sources/{demo.FHIR}", 1280, "light", 800),
        Picture("run-narrow", "olga", f"/runs/{run.id}", 390, "light", 700),
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
