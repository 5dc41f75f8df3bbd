"""Where a drill happens: a hospital in a fresh database, machines that serve it, traffic, and the reckoning afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from bench.drills.machines import Machine, until
from bench.drills.outcome import Outcome
from bench.drills.traffic import Asker, Emr, call
from bench.drills.watching import Watcher
from bench.site import free_port
from store.db.database import Database
from store.users.api_keys import ApiKeys
from sync.config.loading import load
from sync.runtime import Runtime

HOSPITAL, ADT = "drill-hospital", "drill-adt"
NO_MORE: Mapping[str, Any] = MappingProxyType({})
SILENCE, SETTLED = 10, 1.5
"""Seconds: ``work.silence``; until what happened last was looked at."""
APPLIED = "SELECT evidence_id FROM changes"
TWICE = "SELECT count(*) FROM (SELECT 1 FROM changes GROUP BY patient_id, evidence_id HAVING count(*) > 1) AS found"


class Stage:
    """One drill's. ``begin`` after the machines were started, ``reckon`` when the fault is over."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.machines = folder, url, list[Machine]()
        self.afterwards: list[Callable[[], None]] = []
        self.apis: list[int] = []
        self.listeners: list[int] = []
        self.manual = "none"
        self.measured = ""
        self.seconds: float | None = None
        self.target: float | None = None
        Runtime.open(load(self.config("first"), {})).close()
        self.sender, self.operator = self._key("sender"), self._key("operator")

    def config(self, name: str, url: str = "", more: Mapping[str, Any] = NO_MORE, **of_source: Any) -> Path:
        """A configuration with ports of its own, as each machine has addresses of its own. ``of_source``: more settings of the ADT feed."""
        source = {
            "enterprise": HOSPITAL,
            "adapter": "hl7v2.mllp",
            "preset": "hl7v2-standard",
            "listen": f"127.0.0.1:{free_port()}",
            "patient_id": {"authority": "GENHOSP", "type": "MR"},
            "mapping": {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}}},
            **of_source,
        }
        document = {
            "database": url or self.url,
            "api": {"listen": f"127.0.0.1:{free_port()}"},
            "logs": {"format": "json"},
            "work": {"silence": f"{SILENCE}s"},
            "retry": {"attempts": 2, "first_wait": "1s"},
            "enterprises": {HOSPITAL: {"sync_contact_preferences": True, "default_region": "US", "safeguard": {"floor": 1_000_000}}},
            "sources": {ADT: source, **more},
        }
        path = self.folder / f"config-{name}-{len(list(self.folder.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def serve(self, roles: str, config: Path | None = None, **more: Any) -> Machine:
        """Starts a machine; callers know its addresses."""
        config = config or self.config(roles)
        machine = Machine(config, roles, **more).started()
        self.machines.append(machine)
        document = yaml.safe_load(config.read_text())
        for role, ports, written in (("api", self.apis, document["api"]), ("listen", self.listeners, document["sources"][ADT])):
            port = int(written["listen"].rpartition(":")[2])
            if role in roles.split(",") and port not in ports:
                ports.append(port)
        return machine

    def begin(self) -> None:
        """Traffic runs."""
        self.emr = Emr(self.listeners)
        self.asker = Asker(self.apis, self.sender, self.emr)
        until(lambda: all(call(port, "GET", "/readyz")[0] == 200 for port in self.apis))
        self.emr.start()
        self.asker.start()
        time.sleep(2)
        self.watcher = Watcher(self.apis, self.operator)
        self.watcher.start(self.machines)
        self.emr.forget()
        self.asker.forget()

    def recovered(self, seconds: float = 60.0) -> None:
        """Returns when a message and a decision go through again."""
        messages, answers = len(self.emr.accepted), len(self.asker.answered)
        until(lambda: len(self.emr.accepted) > messages + 3 and len(self.asker.answered) > answers + 3, seconds)

    def reckon(self, drill: str, database: str, *, restored: bool = False) -> Outcome:
        """Ends the traffic and compares what was acknowledged with what is there."""
        self.emr.stop()
        self.asker.stop()
        time.sleep(SETTLED)
        log = self.watcher.stop(self.machines)
        wrong = sum(self._stated(mrn) != {"DNC": "yes", "OK": "no"}[code] for mrn, code in self.emr.last.items())
        with self._database() as opened, opened.read() as connection:
            applied = {row[0] for row in opened.select(connection, APPLIED, [])}
            doubled = int(opened.select(connection, TWICE, [])[0][0])
        lost = 0 if restored else len(self.emr.acknowledged.keys() - applied)
        codes = ", ".join(f"{code} {number}" for code, number in self.emr.codes.most_common() if code != "AA")
        others = ", ".join(f"{code} {number}" for code, number in self.asker.codes.most_common() if code != "200")
        answers = "; ".join(part for part in (codes, others) if part) or "all AA, 200"
        return Outcome(
            drill, database, self.emr.codes["AA"], lost, doubled, wrong, self.asker.permitted, self.asker.accepted,
            round(self.emr.longest(), 1), round(self.asker.longest(), 1), answers,
            self.manual, ", ".join(sorted(self.watcher.readiness)), ", ".join(sorted(self.watcher.metrics)), log,
            self.measured, self.seconds, self.target,
        )  # fmt: skip

    def abandon(self) -> None:
        """Ends everything, also where the drill failed half way."""
        for one in (getattr(self, "emr", None), getattr(self, "asker", None)):
            if one is not None:
                one.stop()
        if hasattr(self, "watcher"):
            self.watcher.stop(())
        self.close()
        for done in self.afterwards:
            done()

    def close(self) -> None:
        """Ends every machine."""
        for one in self.machines:
            if one.process.poll() is None:
                try:
                    one.end()
                except Exception:
                    one.kill()

    def _stated(self, mrn: str) -> str:
        body = {"authority": "GENHOSP", "value": mrn}
        for port in self.apis:
            status, found = call(port, "POST", "/v1/patients/lookup", self.sender, body)
            if status == 200:
                return str(found["preferences"]["do_not_contact"]["value"])
        return "unknown"

    def _key(self, role: str) -> str:
        with self._database() as opened:
            grants = ["patients"] if role == "sender" else []  # to look up, afterwards, what is stated of them
            return ApiKeys(opened).create(role, HOSPITAL, role, datetime.now(UTC), grants=grants)[1]

    @contextmanager
    def _database(self) -> Iterator[Database]:
        opened = Database.open(self.url)
        try:
            yield opened
        finally:
            opened.close()
