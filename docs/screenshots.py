"""Makes the pictures of the README from the real pages, over the rehearsal EMR: ``python docs/screenshots.py``.

Writes docs/screenshots/*.png and needs a Chromium (``make browser``). Everything to be seen is invented.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from adapters.base import Fetch
from adapters.rehearsal.dialect import TEXTING_OK
from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.population import mrn
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.patients.write_backs import WriteBacks
from store.runs.source_checks import Checked, Findings
from sync import demo
from sync.config import load
from sync.dry_run import dry_run
from sync.runtime import adapter, lane
from sync.service import Service, serving

FOLDER = Path(__file__).parent / "screenshots"
WRITE_BACK: dict[str, Any] = {
    demo.FHIR: {
        "sink": "fhir.patient",
        "attributes": {"consent.sms": {"extension": TEXTING_OK, "value": "false"}},
        "echoed_by": [demo.ADT],
    },
    demo.ADT: {"sink": "worklist", "attributes": {"consent.sms": {}}},
}
PATIENCE = 60.0
BROWSERS = ("chromium-headless-shell", "chromium")
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
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None) or sys.exit("no Chromium on this machine: make browser installs it")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        RehearsalEmr(patients=400, seed=1) as emr,
        staged(emr, Path(folder)) as (service, watched),
    ):
        emr.written.refusals.append(422)
        demo.read_changes(emr, service, watched)
        demo.send_messages(emr, service, lambda _: None)
        demo.decisions(emr, service)
        unmapped(emr, service)
        opted_out(service)
        looked_into(emr, service)
        refused(service)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            take(browser, service, pictures(f"/patients/{demo.locked_patient(emr, service).id}", newest_cause(service)))
            browser.close()


@contextmanager
def staged(emr: RehearsalEmr, folder: Path) -> Iterator[tuple[Service, demo.RunWatcher]]:
    """The demo, with opt-outs that are written to the FHIR server, and typed into the EMR that sends ADT messages."""
    file = demo.configuration(emr, folder)
    document = json.loads(file.read_text())
    for source, write_back in WRITE_BACK.items():
        document["sources"][source]["write_back"] = write_back
    file.write_text(json.dumps(document))
    watcher = demo.RunWatcher(lambda *_, **__: None)
    with serving(load(file), watch=watcher) as service:
        watcher.wait()
        yield service, watcher


def refused(service: Service) -> None:
    """Waits until the EMR has refused an opt-out."""
    write_backs, ends = WriteBacks(service.runtime.database), time.monotonic() + PATIENCE
    while not write_backs.dead():
        if time.monotonic() > ends:
            sys.exit("the EMR did not refuse the opt-out in time")
        time.sleep(0.2)


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


def opted_out(service: Service) -> None:
    """Staff record what a patient asked for at the desk. Both EMRs know the patient."""
    runtime = service.runtime
    patient = runtime.preferences.find(demo.ENTERPRISE, PatientRef(value=mrn(1)))
    actor, now = Actor(Role.STAFF, "desk"), runtime.clock()
    runtime.preferences.record_sms_opt_out(demo.ENTERPRISE, patient.id, line=None, topic=None, actor=actor, now=now, reason="asked")


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
        Picture("undelivered", "olga", "/undelivered", 1000, "light", 600),
        Picture("settings-held", "pat", "/settings", 1000, "light", 720),
        Picture("worklist", "pat", "/worklist", 1000, "light", 480),
        Picture("opt-outs-dark", "pat", "/opt-outs", 1000, "dark", 420),
    ]


def take(browser: Browser, service: Service, wanted: list[Picture]) -> None:
    """Signs each user in once, and takes their pictures."""
    passwords = {name: password for name, password, _ in demo.people(service)}
    for user, password in passwords.items():
        context = browser.new_context(base_url=f"http://{service.address}")
        sign_in(context, user, password)
        if user == "pat":
            ask_for_more(context)
        for one in (picture for picture in wanted if picture.user == user):
            page = context.new_page()
            page.set_viewport_size({"width": one.width, "height": one.height})
            page.emulate_media(color_scheme=one.scheme)
            page.goto(one.path)
            page.screenshot(path=FOLDER / f"{one.name}.png")
        context.close()


def ask_for_more(context: BrowserContext) -> None:
    """An enterprise user asks for a setting that permits more contact than the safeguard allows at once."""
    page = context.new_page()
    page.goto("/settings")
    page.get_by_role("radio", name="Try the next channel").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Ask for approval").click()
    page.get_by_role("status").wait_for()


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
