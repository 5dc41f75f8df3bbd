"""Several processes of the API on one port: real processes that are frozen, killed, stopped and told to reload, on both databases."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from adapters.rehearsal import certificate
from adapters.rehearsal.certificate import Certificate
from adapters.rehearsal.emr import RehearsalEmr
from store.audit.receipts import Receipts
from store.audit.verify import verify
from store.runs.processes import Processes
from sync.api_processes import SILENT
from sync.config import load
from sync.demo import ENTERPRISE, FHIR
from sync.service import serving
from tests.functional.real_service import WITHIN, Site, is_alive, until

TWO_OF_THE_API = ("--workers", "2", "--only", "api")
ASK = {"patient": {"authority": "GENHOSP", "value": "nobody"}, "message_type": "automation", "channels": ["sms"]}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DECISIONS, IDLE = 60, 2.0
Answer = tuple[int, str]


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    with RehearsalEmr(patients=5, seed=3) as emr:
        found = Site(emr, tmp_path, database_url)
        yield found
        found.runtime.close()


def other_process(site: Site) -> int:
    """The process beside the first one, once it answers."""
    until(lambda: len(site.processes("api")) == 2, site)
    return site.processes("api")[1]


@contextmanager
def frozen(site: Site, *processes: int) -> Iterator[None]:
    """Processes stand still during the block, outside of their own transactions."""
    with site.runtime.database.write(ENTERPRISE):
        for one in processes:
            os.kill(one, signal.SIGSTOP)
        until(lambda: all(map(_stands, processes)), site)
    try:
        yield
    finally:
        for one in processes:
            os.kill(one, signal.SIGCONT)


def _stands(pid: int) -> bool:
    return all("\nState:\tT" in one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/status"))


class Caller:
    """A kept connection to one of the processes, which is made again when it was idle: the server closes it then."""

    def __init__(self, site: Site, process: int, tls: ssl.SSLContext | None = None) -> None:
        self.site, self.process, self.used = site, process, time.monotonic()
        plain = HTTPConnection("127.0.0.1", site.port, timeout=60)
        self.connection = HTTPSConnection("127.0.0.1", site.port, timeout=60, context=tls) if tls else plain
        self._connect()

    def asked(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, key: str = "") -> Answer:
        if time.monotonic() - self.used > IDLE:
            self._connect()
        told = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        return self._asked(method, path, json.dumps(body) if isinstance(body, dict) else body, told)

    def _connect(self) -> None:
        self.connection.close()
        with frozen(self.site, *(one for one in self.site.processes("api") if one != self.process)):
            assert self._asked("GET", "/healthz")[0] == 200

    def _asked(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        found = answer.status, answer.read().decode()
        self.used = time.monotonic()
        return found

    def decide(self) -> Answer:
        return self.asked("POST", "/v1/decisions", ASK, key=self.site.sender)

    def metric(self, name: str) -> float:
        """Its value. A machine that is busy may keep the first process from telling in time."""
        until(lambda: self.scraped()[0] == 200, self.site)
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.last[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    def scraped(self) -> Answer:
        self.last = self.asked("GET", "/metrics")
        return self.last

    def alarms(self) -> list[tuple[int, int]]:
        found = json.loads(self.asked("GET", "/readyz", key=self.site.operator)[1])["unknown_patients"]
        return [(one["asked"], one["unknown"]) for one in found]

    def sign_in(self) -> int:
        return self.asked("POST", "/sign-in", urlencode({"name": "mallory", "password": "guess"}), FORM)[0]


class Callers:
    """All connections of a test, which are closed at its end."""

    def __init__(self, site: Site) -> None:
        self.site, self.opened = site, list[Caller]()

    def of(self, process: int, tls: ssl.SSLContext | None = None) -> Caller:
        self.opened.append(Caller(self.site, process, tls))
        return self.opened[-1]

    def close(self) -> None:
        for one in self.opened:
            one.connection.close()


@pytest.fixture
def callers(site: Site) -> Iterator[Callers]:
    with closing(Callers(site)) as found:
        yield found


def test_each_process_answers_on_the_port_and_answers_for_all(site: Site, callers: Callers) -> None:
    site.document["api"] |= {"unknown_patients": {"floor": "7", "percent": "20", "within": "10m"}}
    site.write()
    decided = 'emr_sync_decisions_total{decision="do_not_send",reason="patient_unknown"}'
    with site.served(*TWO_OF_THE_API):
        both = [callers.of(site.process.pid), callers.of(other_process(site))]
        site.resync()  # nobody does it here
        assert [one.decide()[0] for one in both for _ in range(4)] == [200] * 8
        seen = [0.0]

        def all_are_counted() -> bool:
            seen.extend(one.metric(decided) for one in (*both, *both))
            return seen[-1] == 8

        until(all_are_counted, site)
        assert seen == sorted(seen)
        for one in both:
            assert one.metric('emr_sync_decision_seconds_count{status="200"}') == 8
            assert one.metric(f'emr_sync_unknown_patients_total{{key="{site.sender.split(".")[1]}"}}') == 8
            assert one.metric('emr_sync_processes{role="api",state="alive"}') == 2
            assert one.metric('emr_sync_queue_jobs{state="waiting"}') == 1
        until(lambda: [one.alarms() for one in both] == [[(8, 8)]] * 2, site)
        assert [both[0].sign_in() for _ in range(5)] == [403] * 5
        assert 429 in [both[1].sign_in() for _ in range(5)]  # with counts of its own, it would let all of them pass
        site.runtime.keys.revoke(site.sender.split(".")[1], site.runtime.clock())
        until(lambda: [one.decide()[0] for one in both] == [401, 401], site)


def test_a_process_whose_first_one_stands_still_answers_decisions_and_readiness_but_no_metrics_and_no_sign_in(
    site: Site, callers: Callers
) -> None:
    with site.served(*TWO_OF_THE_API):
        other = callers.of(other_process(site))
        with frozen(site, site.process.pid):
            assert other.decide()[0] == 200
            until(lambda: other.asked("GET", "/readyz")[0] == 200, site)
            assert (other.asked("GET", "/metrics")[0], other.sign_in()) == (503, 503)
        until(lambda: other.asked("GET", "/metrics")[0] == 200, site)


def test_receipts_of_all_processes_are_one_chain_and_killing_one_process_loses_none(site: Site, callers: Callers) -> None:
    site.document["enterprises"][ENTERPRISE] |= {"decision_receipts": True}
    site.write()
    with site.served(*TWO_OF_THE_API):
        killed = other_process(site)
        kept, lost = ([callers.of(one) for _ in range(2)] for one in (site.process.pid, killed))
        with ThreadPoolExecutor(4) as pool:
            mine, others = pool.map(decisions, kept), pool.map(decisions, lost)
            until(lambda: receipts(site) > DECISIONS, site)
            os.kill(killed, signal.SIGKILL)
            answered = [one for found in (*mine, *others) for one in found]
        until(lambda: killed not in site.processes() and len(site.processes()) == 2, site)
        answered += decisions(callers.of(other_process(site)))
        first = callers.of(site.process.pid)
        assert first.metric('emr_sync_failures_total{kind="process"}') == 1
        _, ready = first.asked("GET", "/readyz", key=site.operator)
        assert [one["reason"].partition(" ended")[0] for one in json.loads(ready)["failures"]] == ["a process of the API"]
    database = site.runtime.database
    assert {one.head.chain: one.broken_at for one in verify(database)}["receipts"] is None
    assert all(Receipts(database).of_decision(ENTERPRISE, one) for one in answered)
    assert len(answered) >= 3 * DECISIONS


def decisions(caller: Caller) -> list[str]:
    """The ids of the decisions that were answered, until the process ended."""
    found: list[str] = []
    try:
        for _ in range(DECISIONS):
            status, text = caller.decide()
            assert status == 200, text
            found.append(json.loads(text)["id"])
    except (OSError, HTTPException):
        pass
    return found


def receipts(site: Site) -> int:
    with site.runtime.database.read() as connection:
        rows = site.runtime.database.select(connection, "SELECT number FROM chain_heads WHERE chain = 'receipts'", [])
    return int(rows[0][0]) if rows else 0


def test_a_stop_answers_what_any_process_has_accepted(site: Site, callers: Callers) -> None:
    body = json.dumps(ASK).encode()
    with site.served(*TWO_OF_THE_API), ExitStack() as open_until_the_end:
        both = [callers.of(one) for one in (site.process.pid, other_process(site)) for _ in range(2)]
        head = f"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.sender}\r\nExpect: 100-continue\r\n"
        sockets = [open_until_the_end.enter_context(closing(one.connection.sock)) for one in both]
        for one in sockets:
            one.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:20])
            assert one.recv(1000).startswith(b"HTTP/1.1 100")
        site.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(site), site)
        for one in sockets:
            one.sendall(body[20:])
        assert [answer_of(one)[:12] for one in sockets] == [b"HTTP/1.1 200"] * 4
        assert site.process.wait(WITHIN) == 0
    assert Processes(site.runtime.database).read() == []
    assert "started again" not in site.log


def is_refused(site: Site) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", site.port), 30):
            return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False


def answer_of(connection: socket.socket) -> bytes:
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def test_killing_the_first_process_ends_the_others_and_the_next_start_has_the_port(site: Site) -> None:
    with site.served(*TWO_OF_THE_API):
        other = other_process(site)
        site.kill()
        until(lambda: not is_alive(other), site)
    with site.served(*TWO_OF_THE_API):
        assert site.decision() == 200


def test_a_reload_reaches_every_process_with_its_certificate_or_none(site: Site, callers: Callers) -> None:
    first, second = certificate.create(), certificate.create()
    write(site, first)
    site.document["api"] |= {"tls": {"certificate": "file:api.pem", "key": "file:api.key"}}
    site.write()
    with site.served("--workers", "2", processes=3):
        processes = [site.process.pid, other_process(site)]
        both = [callers.of(one, first.client()) for one in processes]
        assert [one.asked("POST", "/v1/sources/second/resync", key=site.operator)[0] for one in both] == [404, 404]
        write(site, second)
        site.add_source("second")
        site.process.send_signal(signal.SIGHUP)
        until(lambda: site.log.count("configuration reloaded") == 3, site)
        both = [callers.of(one, second.client()) for one in processes]
        assert {one.asked("POST", "/v1/sources/second/resync", key=site.operator)[0] for one in both} <= {202, 409}
        until(lambda: "done" in [one.status for one in site.runtime.journal.runs(source="second")], site)
        site.document["api"] |= {"access_log": True}
        site.write()
        site.process.send_signal(signal.SIGHUP)
        until(lambda: [why for _, why in site.refusals()] == [f"{site.file}: restart the service to change api.access_log"] * 3, site)


def test_a_process_that_hears_of_reloads_late_does_not_put_a_former_configuration_in_force_again(site: Site) -> None:
    with site.served(*TWO_OF_THE_API):
        sources = dict(site.document["sources"])
        with frozen(site, other_process(site)):
            for changed in ({**sources, "second": sources[FHIR]}, sources):
                site.document["sources"] = changed
                site.write()
                reloaded = site.log.count("configuration reloaded")
                site.process.send_signal(signal.SIGHUP)
                until(partial(lambda before: site.log.count("configuration reloaded") > before, reloaded), site)
            before = put_in_force(site)
        until(lambda: site.log.count("configuration reloaded") == 4, site)
        assert put_in_force(site) == before


def put_in_force(site: Site) -> list[str]:
    """The configurations that were put in force, in their order."""
    with site.runtime.database.read() as connection:
        rows = site.runtime.database.select(connection, "SELECT basis FROM bases WHERE state = 'in_force' ORDER BY seq", [])
    return [basis for (basis,) in rows]


def write(site: Site, one: Certificate) -> None:
    (site.file.parent / "api.pem").write_text(one.certificate)
    (site.file.parent / "api.key").write_text(one.key)


def test_a_process_that_stands_still_is_killed_and_another_takes_its_place(site: Site) -> None:
    with serving(load(site.file, {}), ["api"], processes=2) as service:
        assert service.api_processes is not None
        (kept,) = service.api_processes._processes
        until(lambda: kept._owed == 0 and kept._process, site)
        assert kept._process is not None
        process = kept._process.process
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: _stands(process.pid), site)
        for _ in range(SILENT + 2):  # once a second, when nobody is in a hurry
            kept.look()
        until(lambda: kept._process and kept._process.process is not process and kept._owed == 0, site)
        assert service.runtime.killed.total == 1
