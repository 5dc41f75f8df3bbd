"""The real application on a real socket, over a migrated database with a few invented patients."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

import pytest
import uvicorn

from adapters.mapping.telecom import e164
from store import times
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.errors import RunActive
from store.patients.preferences import Preferences
from store.preference import Identifier, PatientStatements, Phone, Statement
from store.runs.runs import Journal, Rejected, Run
from store.users.api_keys import ApiKeys
from store.web.app import create_app
from store.web.http.lanes import Lanes
from store.web.http.work import SyncWork, UnmappedCode
from sync.mapping_fix import fix
from tests.factories import sealing
from tests.store.site import BY_LINE

NOW = datetime.now(UTC)
EARLIER = NOW - timedelta(hours=1)
CELL, HOME, LINE = "+12175550101", "+12175550102", "+12175550190"
ENTERPRISES = {
    one.name: one
    for one in (
        Enterprise(
            "general",
            syncs=True,
            sources=(Source("genhosp-adt", "General Hospital EMR", timedelta(hours=26)),),
            default_region="US",
            policy=BY_LINE,
        ),
        Enterprise("local", do_not_contact_toggle=True, sources=(Source("clinic", "Clinic EMR"),)),
        Enterprise("quiet", sources=(Source("practice", "Practice EMR", writes=frozenset({"consent.sms"}), worklist=True),)),
    )
}
ACCESS_LOG = logging.getLogger("uvicorn.access")
ROLES = ("sender", "operator", "enterprise", "manager", "staff", "auditor")


@dataclass(frozen=True)
class Reply:
    """A response, read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Service:
    """The running service, and the internals that its tests need."""

    port: int
    store: Preferences
    journal: Journal
    keys: ApiKeys
    tokens: dict[tuple[str, str], str]
    requested: list[tuple[str, str, str]]
    lanes: Lanes

    def call(
        self, method: str, path: str, body: Any = None, *, role: str | None = "sender", enterprise: str = "general", **headers: str
    ) -> Reply:
        """Sends one request on a new connection. ``body``: bytes unchanged, anything else as JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            named["authorization"] = f"Bearer {self.token(enterprise, role)}"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            return exchange(connection, method, path, body, named)
        finally:
            connection.close()

    def token(self, enterprise: str, role: str) -> str:
        """A key with that role, created once."""
        if (enterprise, role) not in self.tokens:
            self.tokens[enterprise, role] = self.keys.create(f"{role} of {enterprise}", enterprise, role, NOW)[1]
        return self.tokens[enterprise, role]

    def patient(self, value: str = "MRN1", enterprise: str = "general") -> Any:
        """The facesheet of a patient, as staff see it."""
        return self.call("POST", "/v1/patients/lookup", {"value": value}, role="staff", enterprise=enterprise).json


def exchange(connection: HTTPConnection, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Reply:
    """Sends one request on this connection. ``body``: bytes unchanged, anything else as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, headers)
    response = connection.getresponse()
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def statements(value: str, evidence: str, /, **stated: Any) -> PatientStatements:
    """The statements of one payload about the patient with that record number."""
    by_name = {name.replace("__", "."): Statement(one, "PID") for name, one in stated.items()}
    return PatientStatements((Identifier("GENHOSP", "MR", value),), by_name, times.at(EARLIER), evidence)


def seed(store: Preferences, journal: Journal) -> None:
    """Two patients in each enterprise; the second shares the first one's cell phone."""
    for enterprise in ENTERPRISES.values():
        source = enterprise.sources[0].name
        phones = (Phone(CELL, "cell", "(217) 555-0101", 1, textable=True), Phone(HOME, "home"))
        first = statements("MRN1", "M1", do_not_contact="no", phones=phones, email=("pat@example.test",), language="en")
        second = statements("MRN2", "M2", do_not_contact="yes", phones=phones[:1])
        with store.database.write(enterprise.name) as transaction:
            store.apply_many(transaction, enterprise.name, source, [first, second], now=NOW)
            journal.mark_received(transaction, source, enterprise.name, now=NOW)


class FakeWork:
    """A fake ``sync``: starts a run, or reports that one is active."""

    def __init__(self, journal: Journal, requested: list[tuple[str, str, str]]) -> None:
        self.journal, self.requested = journal, requested

    def resync(self, source: str, by: str) -> Run:
        self.requested.append(("resync", source, by))
        if source == "clinic":
            raise RunActive("clinic has a run under way")
        return self.journal.start(source, "general", "resync", now=NOW)

    def replay(self, rejection: str, by: str) -> Mapping[str, Any]:
        self.requested.append(("replay", rejection, by))
        return {"outcome": "applied"}

    def codes(self, source: str, by: str) -> list[UnmappedCode]:
        self.requested.append(("codes", source, by))
        return [UnmappedCode("PV1-18", "X9", 4), UnmappedCode("PV1-18", "", 2)]

    def fix(self, source: str, reason: str, attribute: str, codes: Sequence[str]) -> str:
        known = {"do_not_contact": {"from": "PV1-18", "values": {"DNC": "yes"}}}
        return fix(source, known, reason, attribute, codes)

    def replay_many(self, numbers: Sequence[str], by: str) -> list[Mapping[str, Any]]:
        self.requested += [("replay", number, by) for number in numbers]
        return [{"id": number, "outcome": "applied", "reason": "", "status": "resolved"} for number in numbers]

    def permits(self, enterprise: str, patients: int, more: int) -> bool:
        return more < patients

    def endpoints(self) -> Mapping[str, str]:
        return {f"crm-{enterprise}": enterprise for enterprise in ENTERPRISES}

    def preview(self, numbers: Sequence[str]) -> Mapping[str, Any]:
        change = {"patient": "pt_1", "attribute": "phones", "direction": "other", "before": [CELL], "after": [HOME]}
        flips = {"more_contactable": 0, "less_contactable": 1}
        statuses = {"resolved": max(len(numbers) - 1, 0), "open": min(len(numbers), 1)}
        return {"counts": {"applied": len(numbers)}, "flips": flips, "changes": [change], "more_changes": 0, **statuses}


@pytest.fixture(scope="module", params=["sqlite"])
def service(request: pytest.FixtureRequest, sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service shared by the tests of one module. Tests that change a patient use ``fresh``."""
    path = tmp_path_factory.mktemp("web") / "store.db"
    path.write_bytes(sqlite_template.read_bytes())
    yield from serve(f"sqlite:///{path}")


@pytest.fixture
def fresh(database_url: str) -> Iterator[Service]:
    """The test's own service, on SQLite and on PostgreSQL."""
    yield from serve(database_url)


def serve(url: str) -> Iterator[Service]:
    """Serves the database until the test is over."""
    database = Database.open(url)
    store, journal, keys = (
        Preferences(database, ENTERPRISES, read_number=e164, sealing=sealing()),
        Journal(database, sealing()),
        ApiKeys(database),
    )
    seed(store, journal)
    requested: list[tuple[str, str, str]] = []
    fake = FakeWork(journal, requested)
    work = SyncWork(fake.resync, fake.replay, replay_many=fake.replay_many, preview=fake.preview, permits=fake.permits)
    lanes = Lanes.create()
    app = create_app(
        store, journal, keys, work=work, metrics=lambda: b"emr_sync_up 1\n", ticks=map(float, itertools.count()).__next__, lanes=lanes
    )
    with running(app) as port:
        yield Service(port, store, journal, keys, {}, requested, lanes)
    database.close()


class running:  # noqa: N801 - used as a function
    """Runs an ASGI application under uvicorn in a thread; gives its port."""

    def __init__(self, app: Any) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.ready = threading.Event()
        self.logs_propagate = ACCESS_LOG.propagate  # which uvicorn switches off for the process
        self.server = AnnouncingServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"), self.ready.set)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> int:
        self.thread.start()
        assert self.ready.wait(20)
        return int(self.socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.thread.join(20)
        self.socket.close()
        ACCESS_LOG.propagate = self.logs_propagate


class AnnouncingServer(uvicorn.Server):
    """A server that reports when it listens, and stops at once. uvicorn itself looks ten times a second whether it should."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self.announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.loop, self.stopped = asyncio.get_running_loop(), asyncio.Event()
        self.announce()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.001)
        await self.lifespan.shutdown()

    def stop(self) -> None:
        """Lets requests in progress end, then ends the server's thread."""
        self.loop.call_soon_threadsafe(self.stopped.set)


def reject(service: Service, enterprise: str, payload: bytes) -> str:
    """A new rejection in the journal; its id, found by what is new: two of the same millisecond have no order."""
    row = Rejected("code_unmapped", "the code of PV1-18 is in no values table", "PV1-18", "feed.hl7:3", payload)
    source = ENTERPRISES[enterprise].sources[0].name
    before = {one.id for one in service.journal.rejections(enterprise, source)}
    with service.store.database.write(enterprise) as transaction:
        service.journal.reject(transaction, [row], source=source, enterprise=enterprise, run_id=None, now=NOW)
    (new,) = {one.id for one in service.journal.rejections(enterprise, source)} - before
    return new


def codes(decisions: Sequence[Any]) -> list[list[str]]:
    """The reasons of each decision."""
    return [decision["reasons"] for decision in decisions]
