"""Every page of the real service with a store that has grown for years, compared with its sign-in form, which does not read the store.

One browser requests one page after the other. Measured are the time from the request to the last byte, and the processor time of the
service, which other work on the machine affects less.
"""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import yaml

from bench import asks, crowd, site
from bench.crowd import AUTHORITY, BUSY, Crowd, Size, Subjects
from bench.databases import Databases
from bench.figure import Figure
from bench.receiver import wait_for
from bench.turns import processor_seconds
from store.domain.lock import Role
from store.users.users import Users
from sync.config.loading import load
from sync.runtime import Runtime

EMR_SYNC = str(Path(sys.executable).parent / "emr-sync")
MOST_MS, MOST_P99_MS = 100.0, 200.0
SEALED = {"payload_keys": {"current": "bench", "keys": {"bench": "YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmU="}}}
CSRF = re.compile(r'name="csrf" value="([^"]+)"')
FORM = "/sign-in"
PATIENCE = 120.0
"""Seconds for a service to start beside other work."""


class PageRequest(NamedTuple):
    """A page as a browser requests it."""

    name: str
    role: Role
    path: str
    form: Mapping[str, str] | None = None
    accepts: tuple[int, ...] = ()
    follows: bool = False


def page_requests(subjects: Subjects) -> list[PageRequest]:
    """Every page that reads the store, with its most demanding subject."""
    return [
        PageRequest("find a patient, form", Role.STAFF, "/patients"),
        PageRequest("find a patient by identifier", Role.STAFF, "/patients", {"value": f"{AUTHORITY}|{BUSY}"}),
        PageRequest("facesheet, long history", Role.STAFF, f"/patients/{subjects.patient}"),
        PageRequest("default settings", Role.ENTERPRISE, "/settings"),
        PageRequest("opt-outs", Role.ENTERPRISE, "/opt-outs"),
        PageRequest("opt-outs, a number that few have", Role.ENTERPRISE, "/opt-outs", {"number": "5550123"}),
        PageRequest("opt-outs, by staff", Role.ENTERPRISE, "/opt-outs", {"who": "staff"}),
        PageRequest("overview", Role.OPERATOR, "/overview"),
        PageRequest("runs of all sources", Role.OPERATOR, "/runs"),
        PageRequest("failed runs of one source", Role.OPERATOR, f"/runs?source={site.ADT}&state=failed"),
        PageRequest("sources", Role.OPERATOR, "/sources"),
        PageRequest("source", Role.OPERATOR, f"/sources/{site.ADT}"),
        PageRequest("run that holds a set", Role.OPERATOR, f"/runs/{subjects.run}"),
        PageRequest("rejections", Role.OPERATOR, "/rejections"),
        PageRequest("rejections, all of one source", Role.OPERATOR, f"/rejections?status=all&source={site.ADT}"),
        PageRequest("cause of rejections", Role.OPERATOR, f"/rejections/{subjects.rejection}/cause"),
        PageRequest("rejection", Role.OPERATOR, f"/rejections/{subjects.rejection}"),
        PageRequest("audit", Role.AUDITOR, "/audit"),
        PageRequest("audit of one patient", Role.AUDITOR, f"/audit?subject={subjects.patient}"),
    ]


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    size, times = (Size().smaller(50), 20) if quick else (Size(), 200)
    for kind in databases.kinds:
        with databases.fresh(kind) as url, asks.folder() as folder:
            config = sealed_config(folder, url)
            subjects, passwords = _filled(config, size)
            with serving(config) as (port, pid):
                yield from _measured(kind, size, Browsers(port, pid, passwords), subjects, times)


@dataclass(slots=True)
class Took:
    """The requests of a page: the time of each, the seconds of the service's processor for all of them, and how they were answered."""

    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def share(self, share: float) -> float:
        """The time that so large a share of the requests did not exceed."""
        return sorted(self.milliseconds)[int(share * len(self.milliseconds))]

    @property
    def cpu_us(self) -> float:
        return 1e6 * self.seconds / len(self.milliseconds)


@dataclass(slots=True)
class Browsers:
    """A browser per role, each with its own connection."""

    port: int
    pid: int
    passwords: Mapping[Role, str]
    cookies: dict[Role, str] = field(default_factory=dict)
    tokens: dict[Role, str] = field(default_factory=dict)
    connections: dict[Role, http.client.HTTPConnection] = field(default_factory=dict)

    def sign_in(self, role: Role, name: str = "") -> None:
        """Signs in as the user of that name, which is the role's unless it is given, and keeps the CSRF token of the forms."""
        self.connections[role] = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        reply, _ = self._reply(role, "POST", FORM, {"name": name or role, "password": self.passwords[role]})
        self.cookies[role] = (reply.getheader("set-cookie") or "").partition(";")[0]
        place = reply.getheader("location") or "/"
        while reply.status == 303:
            reply, body = self._reply(role, "GET", place)
            place = reply.getheader("location") or place
        self.tokens[role] = CSRF.search(body)[1]  # type: ignore[index]

    def settle(self, page: PageRequest) -> None:
        """Requests once, on a new connection (the server closed the idle one): the first read comes from disk."""
        self.connections[page.role].close()
        self.request(page)

    def measure(self, page: PageRequest, took: Took) -> None:
        """Requests one page, and adds what it took."""
        used = processor_seconds(self.pid)
        milliseconds, status = self.request(page)
        took.seconds += processor_seconds(self.pid) - used
        took.milliseconds.append(milliseconds)
        took.counts[f"HTTP {status}"] += 1

    def request(self, page: PageRequest) -> tuple[float, int]:
        """The time of one page in milliseconds, with the page that it leads to if ``follows``, and its status.

        ``RuntimeError`` if it fails, or leads to the sign-in form.
        """
        method, form = ("GET", None) if page.form is None else ("POST", {"csrf": self.tokens[page.role], **page.form})
        began = time.perf_counter()
        reply, _ = self._reply(page.role, method, page.path, form)
        place = reply.getheader("location") or ""
        if page.follows and reply.status == 303:
            reply, _ = self._reply(page.role, "GET", place)
        milliseconds = 1000 * (time.perf_counter() - began)
        if reply.status not in (200, 303, *page.accepts) or place.startswith(FORM):
            raise RuntimeError(f"{page.name}: HTTP {reply.status} {place}")
        return milliseconds, reply.status

    def _reply(self, role: Role, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[http.client.HTTPResponse, str]:
        headers = {"content-type": "application/x-www-form-urlencoded"} if form else {}
        if role in self.cookies and path != FORM:
            headers["cookie"] = self.cookies[role]
        connection = self.connections[role]
        connection.request(method, path, urlencode(form) if form else None, headers)
        reply = connection.getresponse()
        return reply, reply.read().decode()


def _measured(kind: str, size: Size, browsers: Browsers, subjects: Subjects, times: int) -> Iterator[Figure]:
    for role in browsers.passwords:
        browsers.sign_in(role)
    for page in page_requests(subjects):
        yield from figures("pages", kind, browsers, page.name, [page] * times, {"patients": size.patients, "times": times})


def figures(
    bench: str, kind: str, browsers: Browsers, name: str, requests: Sequence[PageRequest], details: Mapping[str, int]
) -> Iterator[Figure]:
    """The median and the 99th percentile of the requests, each in turn with the empty page."""
    empty, real, floor = PageRequest("empty", requests[0].role, FORM), Took(), Took()
    browsers.settle(requests[0])
    for one in requests:
        browsers.measure(empty, floor)
        browsers.measure(one, real)
    for what, share, most in (("median", 0.5, MOST_MS), ("p99", 0.99, MOST_P99_MS)):
        yield Figure(
            bench,
            f"{name}, {what}",
            real.share(share),
            "ms",
            floor=floor.share(share),
            floor_is="empty page",
            most=most,
            database=kind,
            details=details,
            cpu_us=real.cpu_us,
            floor_cpu_us=floor.cpu_us,
            counts=real.counts,
        )


def sealed_config(folder: Path, url: str) -> Path:
    """The site's configuration, with a key for what is kept encrypted."""
    path = site.write(folder, url, sources=(site.ADT, site.FHIR), listen=f"127.0.0.1:{site.free_port()}")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | SEALED, sort_keys=False))
    return path


def _filled(config: Path, size: Size) -> tuple[Subjects, dict[Role, str]]:
    """Fills the store. Returns the subjects of the pages, and a password per role."""
    runtime = Runtime.open(load(config, {}))
    try:
        users, roles = Users(runtime.database), (Role.STAFF, Role.ENTERPRISE, Role.OPERATOR, Role.AUDITOR)
        passwords = {role: users.add(role, site.ENTERPRISE, role, crowd.NOW)[1] or "" for role in roles}
        return Crowd(runtime.preferences, runtime.journal, size).fill(), passwords
    finally:
        runtime.close()


@contextmanager
def serving(config: Path, roles: str = "api") -> Iterator[tuple[int, int]]:
    """The service as in production, with some roles: its port and its process id."""
    port = int(yaml.safe_load(config.read_text())["api"]["listen"].rpartition(":")[2])
    subprocess.run([EMR_SYNC, "-c", str(config), "migrate"], check=True, stdout=subprocess.DEVNULL)  # the tables of the queue
    command = [EMR_SYNC, "-c", str(config), "serve", "--only", roles]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process, PATIENCE)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(60)
