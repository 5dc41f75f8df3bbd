"""The pages on a real socket, with a user of every role in three enterprises, and a clock that the test sets."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.mapping.telecom import e164
from store.db.database import Database
from store.domain.patient import PatientRef
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from store.users.api_keys import ApiKeys
from store.users.sessions import Sessions
from store.users.users import Users
from store.web.app import create_app
from store.web.http.lanes import Lanes
from store.web.http.work import SyncWork
from store.web.pages.about import About, DescribedRule
from store.web.pages.provider import Provider
from store.web.pages.site import Access
from tests.factories import sealing
from tests.store.web.conftest import ENTERPRISES, NOW, FakeWork, running, seed

ABOUT = About(
    (("Adapter", "hl7v2.files"),), (DescribedRule("do_not_contact", "ZCP-2", (("DNC", "yes"), ("OK", "no")), "another code: reject"),)
)
PUSHED = ABOUT._replace(is_pushed=True, sink="fhir.patient")
ABOUTS = {"genhosp-adt": PUSHED}
"""How sources are described; all others as ``ABOUT``."""
ROLES = ("enterprise", "manager", "staff", "operator", "auditor", "administrator")
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Moment:
    """The service's clock."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, time: timedelta) -> None:
        """Advances the clock."""
        self.now += time


@dataclass
class Seen:
    """The response in a browser without scripts."""

    response: httpx.Response

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def where(self) -> str:
        """The target of a redirect."""
        return self.response.headers.get("location", "")

    @property
    def text(self) -> str:
        """The text of the page, without markup."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.response.text)).split())


@dataclass
class Browser:
    """A browser of one user. It does not follow redirects."""

    client: httpx.Client
    token: str = ""

    def get(self, path: str, **headers: str) -> Seen:
        return self._seen(self.client.get(path, headers=headers))

    def post(self, path: str, *, csrf: str | None = None, origin: str | None = None, **form: str) -> Seen:
        headers = {} if origin is None else {"origin": origin}
        return self._seen(self.client.post(path, data={"csrf": self.token if csrf is None else csrf, **form}, headers=headers))

    def _seen(self, response: httpx.Response) -> Seen:
        found = CSRF.search(response.text)
        self.token = found[1] if found else self.token
        return Seen(response)


@dataclass
class Pages:
    """The running service, and the internals that its tests need."""

    url: str
    store: Preferences
    journal: Journal
    users: Users
    moment: Moment
    requested: list[tuple[str, str, str]]
    app: Any
    keys: ApiKeys
    lanes: Lanes
    server: running
    passwords: dict[str, str] = field(default_factory=dict)
    clients: list[httpx.Client] = field(default_factory=list)

    def in_loop(self, work: Callable[[], object]) -> None:
        """Runs work in the server's event loop."""
        done = threading.Event()
        self.server.server.loop.call_soon_threadsafe(lambda: (work(), done.set()))
        assert done.wait(20)

    def stranger(self) -> Browser:
        """A browser without a session."""
        self.clients.append(httpx.Client(base_url=self.url, timeout=30))
        return Browser(self.clients[-1])

    def user(self, role: str, enterprise: str = "general") -> tuple[str, str]:
        """The name and password of a user with that role."""
        name = f"{role}-{enterprise}"
        if name not in self.passwords:
            self.passwords[name] = self.users.add(name, enterprise, role, NOW)[1] or ""
        return name, self.passwords[name]

    def signed_in(self, role: str, enterprise: str = "general") -> Browser:
        """A browser of a user with that role."""
        browser = self.stranger()
        name, password = self.user(role, enterprise)
        entered = browser.post("/sign-in", name=name, password=password)
        assert (entered.status, entered.where) == (303, "/")
        browser.get(browser.get("/").where or "/")
        return browser

    def patient(self, value: str = "MRN1", enterprise: str = "general") -> str:
        """The path of a patient's facesheet."""
        return f"/patients/{self.store.find(enterprise, PatientRef(value=value)).id}"


@pytest.fixture(scope="module")
def pages(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Pages shared by the tests of a module. A test that changes something uses ``fresh_pages``."""
    path = tmp_path_factory.mktemp("pages") / "store.db"
    path.write_bytes(sqlite_template.read_bytes())
    yield from serve_pages(f"sqlite:///{path}")


@pytest.fixture
def fresh_pages(sqlite_url: str) -> Iterator[Pages]:
    """The test's own pages."""
    yield from serve_pages(sqlite_url)


def serve_pages(url: str, provider: Callable[[str, Moment], Provider] | None = None) -> Iterator[Pages]:
    """Serves the database until the test is over. ``provider`` is created for the address and clock of the pages."""
    database, moment, server = Database.open(url), Moment(), running(None)
    address = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
    store, journal = Preferences(database, ENTERPRISES, read_number=e164, sealing=sealing()), Journal(database, sealing())
    seed(store, journal)
    requested: list[tuple[str, str, str]] = []
    work: Any = FakeWork(journal, requested)
    users = Users(database)
    sessions = Sessions(database, idle=timedelta(minutes=30), longest=timedelta(hours=12))
    keys, lanes = ApiKeys(database), Lanes.create()
    access = Access(
        users, keys, sessions, lambda source: ABOUTS.get(source, ABOUT), provider=provider(address, moment) if provider else None
    )
    asked_for = SyncWork(
        work.resync,
        work.replay,
        replay_many=work.replay_many,
        preview=work.preview,
        codes=work.codes,
        fix=work.fix,
        permits=work.permits,
        endpoints=work.endpoints,
    )
    app = create_app(store, journal, keys, work=asked_for, clock=moment, access=access, lanes=lanes)
    server.server.config.app = app
    with server:
        served = Pages(address, store, journal, users, moment, requested, app, keys, lanes, server)
        yield served
        for client in served.clients:
            client.close()
    database.close()
