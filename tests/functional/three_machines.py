"""The three machines of deploy/scale/three-machines, on this one: what it contains, with other addresses and paths."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from adapters.rehearsal import certificate
from tests.functional.machines import Machine, machine, until
from tests.functional.postgres_pair import HOST, PASSWORD, Server
from tests.functional.program import free_port

SCALE = Path(__file__).parents[2] / "deploy" / "scale"
THREE = SCALE / "three-machines"
ROLES = ("api", "listen", "schedule", "work")
URL = re.compile(r"postgresql\+psycopg://emr_sync:PASSWORD@a,b/emr_sync\?(\S+)")
SERVER = re.compile(r"server (\w) 10\.0\.0\.1\d:(\d+)( port \d+)?")


def servers(folder: Path) -> tuple[Server, Server]:
    """The primary ``a``, and its standby ``b``: a commit is acknowledged once both have it."""
    a, b = (Server(folder, name, [THREE / "postgresql.conf"], THREE / "pg_hba.conf") for name in "ab")
    a.create()
    a.run(
        f"CREATE ROLE emr_sync LOGIN PASSWORD '{PASSWORD}'",
        f"CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{PASSWORD}'",
        "CREATE DATABASE emr_sync OWNER emr_sync",
    )
    b.follow(a)
    wait_for_standby(a)
    return a, b


def wait_for_standby(primary: Server) -> None:
    """Has every commit wait for the standby: the statements of docs/scaling.md."""
    primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    until(lambda: ("sync",) in primary.run("SELECT sync_state FROM pg_stat_replication"))


class Machines:
    """Machines a and b, each with one process for each role."""

    def __init__(self, folder: Path, pair: tuple[Server, Server], more: dict[str, Any]) -> None:
        self.folder, self.pair = folder, pair
        self.made = certificate.create()
        for name, text in {
            "server.pem": self.made.certificate,
            "server.key": self.made.key,
            "ca.pem": self.made.certificate,
            "balancer.pem": self.made.certificate + self.made.key,
            "payload-key": "4b" * 32,
            "database-url": self.url,
        }.items():
            (folder / name).write_text(text)
        self.ports = {(role, name): free_port() for role in (*ROLES, "metrics-of-listen", "mllp") for name in "ab"}
        self.configs = {name: self._config(name, more) for name in "ab"}
        self.api, self.mllp = free_port(), free_port()

    @property
    def url(self) -> str:
        """The address in config.yaml, with two ports of this machine for its two hosts."""
        (parameters,) = URL.findall((THREE / "config.yaml").read_text())
        plain = re.sub(r"sslmode=[^&]+&sslrootcert=[^&]+", "sslmode=disable", parameters)
        hosts = "&".join(f"host={HOST}:{one.port}" for one in self.pair)
        return f"postgresql+psycopg://emr_sync:{PASSWORD}@/emr_sync?{hosts}&{plain}"

    @contextmanager
    def process(self, name: str, role: str) -> Iterator[Machine]:
        """One process, as its unit starts it."""
        more = ("--metrics", f"{HOST}:{self.ports['metrics-of-listen', name]}") if role == "listen" else ()
        with machine(self.configs[name], role, *more) as started:
            yield started

    @contextmanager
    def balancer(self) -> Iterator[None]:
        """HAProxy with the configuration of machine c, until the end of the block."""
        text = (
            (THREE / "haproxy.cfg").read_text().replace("0.0.0.0:443", f"{HOST}:{self.api}").replace("0.0.0.0:2575", f"{HOST}:{self.mllp}")
        )
        text = text.replace("/etc/haproxy/emr-sync.pem", str(self.folder / "balancer.pem")).replace("/etc/haproxy/", f"{self.folder}/")
        file = self.folder / "haproxy.cfg"
        file.write_text(SERVER.sub(self._server, text))
        subprocess.run(["haproxy", "-c", "-q", "-f", str(file)], check=True)
        with (
            (self.folder / "haproxy.log").open("wb") as log,
            subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdout=log, stderr=log) as running,
        ):
            try:
                yield
            finally:
                running.terminate()

    def _server(self, found: re.Match[str]) -> str:
        name, port, checked = found[1], found[2], found[3]
        here = self.ports["api" if port == "8443" else "mllp", name]
        return f"server {name} {HOST}:{here}" + (f" port {self.ports['metrics-of-listen', name]}" if checked else "")

    def _config(self, name: str, more: dict[str, Any]) -> Path:
        text = (THREE / "config.yaml").read_text().replace("/etc/emr-sync/", f"{self.folder}/").replace("10.0.0.13", HOST)
        text = text.replace("0.0.0.0:8443", f"{HOST}:{self.ports['api', name]}").replace(
            "0.0.0.0:2575", f"{HOST}:{self.ports['mllp', name]}"
        )
        document = yaml.load(text, yaml.BaseLoader)
        document["sources"] |= more
        (self.folder / name).mkdir()
        path = self.folder / name / "config.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path


class Running:
    """The eight processes; each may be killed and started again."""

    def __init__(self, machines: Machines) -> None:
        self.machines, self.stack = machines, ExitStack()
        self.all = {(name, role): self._started(name, role) for role in ROLES for name in "ab"}

    def kill(self, name: str, role: str) -> None:
        self.all[name, role].kill()

    def restart(self, name: str, role: str) -> None:
        self.all[name, role] = self._started(name, role)

    def _started(self, name: str, role: str) -> Machine:
        return self.stack.enter_context(self.machines.process(name, role))
