"""The real service as its own process over the rehearsal EMR, used by people in a real Chromium."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import Locator, Page, expect

from adapters.base import Fetch
from adapters.rehearsal.emr import RehearsalEmr
from store.users.api_keys import ApiKeys
from store.users.users import Users
from sync.config import load
from sync.runtime import Runtime, lane
from tests.functional.program import free_port, ready, serving, written

CLINIC, DESK = "clinic", "walk-in"
FHIR, ADT, WALK_INS = "rehearsal-fhir", "rehearsal-adt", "walk-in-adt"
TABS = 60
KEYS = {"payload_keys": {"current": "k1", "keys": {"k1": "azEtazEtazEtazEtazEtazEtazEtazEtazEtazEtazE="}}}


@dataclass
class Hospital:
    """Two enterprises, one synced from the rehearsal EMR and one not synced; their users, and a sender."""

    emr: RehearsalEmr
    folder: Path
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    key: str = field(default="", repr=False)
    address: str = ""

    def configured(self, folder: Path, **mappings: Mapping[str, Any]) -> Path:
        """Writes the configuration file beside a copy of the database. ``mappings``: source -> rules that replace its own."""
        if not (folder / "hospital.db").exists():
            shutil.copyfile(self.folder / "hospital.db", folder / "hospital.db")
        (folder / "key.pem").write_text(self.emr.private_key)
        listener = self.emr.hl7_source(enterprise=CLINIC, listen="127.0.0.1:0")
        sources = {
            FHIR: self.emr.fhir_source(enterprise=CLINIC, private_key="file:key.pem"),
            ADT: listener | {"listen": f"127.0.0.1:{free_port()}"},
            WALK_INS: listener | {"enterprise": DESK, "display_name": "Walk-in EMR", "listen": f"127.0.0.1:{free_port()}"},
        }
        for name, rules in mappings.items():
            source = sources[name.replace("_", "-")]
            source["mapping"] = {**source["mapping"], **rules}
        common = {"default_region": "US", "authorities": self.emr.authorities}
        enterprises = {
            CLINIC: common | {"display_name": "Rehearsal Clinic", "sync_contact_preferences": True},
            DESK: common | {"display_name": "Walk-in Clinic", "do_not_contact_toggle": True},
        }
        top = {"database": "sqlite:///hospital.db", "api": {"listen": f"127.0.0.1:{free_port()}"}, **KEYS}
        return written(folder, {**top, "enterprises": enterprises, "sources": sources})

    @contextmanager
    def serving(self, config: Path) -> Iterator[str]:
        """Runs the service; gives its address."""
        settings = load(config, {})
        with serving(config, settings.listen.port):
            self.address = f"http://{settings.listen}"
            ready(self.address)
            yield self.address

    def fill(self) -> None:
        """Loads every patient of the EMR into both enterprises; creates users of every role and a sender."""
        config = self.configured(self.folder)
        runtime = Runtime.open(load(config, {}))
        try:
            run = runtime.engine.run(lane(runtime.feed(FHIR)), runtime.polled(runtime.feed(FHIR)), Fetch(full=True), "full")
            assert run.status == "done", run.error
            self._people(runtime)
        finally:
            runtime.close()

    def decisions(self, values: Iterable[str], kind: str = "automation") -> Counter[tuple[str, bool]]:
        """A sender's decisions about patients: the decision, and whether Do Not Contact is among its reasons."""
        asks = [{"patient": {"value": value}, "message_type": kind, "channels": ["sms", "voice", "email"]} for value in values]
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = Request(f"{self.address}/v1/decisions/batch", json.dumps(asks).encode(), headers)
        with urlopen(request, timeout=60) as answer:
            return Counter((one["decision"], "do_not_contact" in one["reasons"]) for one in json.load(answer))

    def sent(self, source: str, config: Path, messages: Sequence[bytes]) -> int:
        """Sends the EMR's messages to a listener; gives their number. Runs in a thread, because Playwright owns this one's event loop."""
        host, _, port = str(load(config, {}).feeds[source].settings.options["listen"]).partition(":")
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self.emr.send, host, int(port), messages).result().codes.total()

    def refusing(self) -> list[str]:
        """The record numbers of patients who have refused automations from the start."""
        population = self.emr.chart.population
        people = [(population.person(index), self.emr.entry(index).person) for index in range(population.size)]
        return [one.mrn for one, now in people if one.do_not_contact and now.do_not_contact and one.deceased_on is None]

    def _people(self, runtime: Runtime) -> None:
        users, now = Users(runtime.database), datetime.now(UTC)
        for enterprise in (CLINIC, DESK):
            for role in ("enterprise", "manager", "staff", "operator", "auditor"):
                name = f"{role}-{enterprise}"
                self.passwords[name] = users.add(name, enterprise, role, now)[1] or ""
        self.key = ApiKeys(runtime.database).create("sender", CLINIC, "sender", now)[1]


def sign_in(page: Page, name: str, password: str) -> None:
    """Signs in with mouse and keyboard."""
    page.goto("/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def enter(page: Page, hospital: Hospital, role: str, enterprise: str = CLINIC) -> None:
    """Signs in and checks that it worked."""
    name = f"{role}-{enterprise}"
    sign_in(page, name, hospital.passwords[name])
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def tab_to(page: Page, what: Locator) -> None:
    """Moves the focus there with the Tab key alone."""
    expect(what).to_be_visible()
    for _ in range(TABS):
        page.keyboard.press("Tab")
        if what.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"the Tab key does not lead there: {what}")


def press(page: Page, what: Locator) -> None:
    """Moves the focus there and presses Enter."""
    tab_to(page, what)
    page.keyboard.press("Enter")
