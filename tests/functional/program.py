"""Runs the program itself, as its own process, the way a service manager would."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import yaml

from tests.functional.forked import Program, start, unchanged

EMR_SYNC = str(Path(sys.executable).parent / "emr-sync")
STARTED_WITHIN = 100.0
READY_WITHIN = 100.0


def free_port() -> int:
    """A free port on loopback: none of those that the system gives to connections, one of which could have it before it is used."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def hospital(database: str, port: int, **changes: Any) -> dict[str, Any]:
    """A configuration of one enterprise that syncs from one ADT feed."""
    return {
        "database": database,
        "api": {"listen": f"127.0.0.1:{free_port()}"},
        "enterprises": {
            "general-hospital": {
                "display_name": "General Hospital",
                "sync_contact_preferences": "true",
                "default_region": "US",
                "time_zone": "America/Chicago",
            }
        },
        "sources": {
            "genhosp-adt": {
                "enterprise": "general-hospital",
                "display_name": "General Hospital EMR (ADT feed)",
                "adapter": "hl7v2.mllp",
                "preset": "hl7v2-standard",
                "listen": f"127.0.0.1:{port}",
                "patient_id": {"authority": "GENHOSP", "type": "MR"},
                "mapping": {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}}},
            }
            | changes
        },
    }


def written(folder: Path, configuration: Mapping[str, Any]) -> Path:
    """Writes the configuration file."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(dict(configuration), sort_keys=False))
    return path


def emr_sync(config: Path, *arguments: str) -> Any:
    """Runs a command to its end and gives its JSON."""
    code, out, err = ended(config, *arguments, "--json")
    assert code == 0, err[-2000:]
    return json.loads(out)


def ended(config: Path, *arguments: str, prepare: Callable[[], None] = unchanged) -> tuple[int, str, str]:
    """Runs a command to its end; gives its exit code and what it wrote to stdout and stderr. ``prepare``: see ``start``."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        code = start(["-c", str(config), *arguments], out, err, prepare).wait(120)
        return code, out.read_text(), err.read_text()


@contextmanager
def serving(config: Path, port: int, *arguments: str) -> Iterator[Program]:
    """Runs ``emr-sync serve`` during the block; stops it with SIGTERM unless the test ended it."""
    log = config.parent / "serve.log"
    process = start(["-c", str(config), "serve", *arguments], log, log)
    try:
        _wait_for(port, process, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ready(address: str) -> None:
    """Waits until the service is ready."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        with suppress(OSError), urlopen(f"{address}/readyz", timeout=READY_WITHIN) as answer:
            if json.load(answer)["ready"]:
                return
        time.sleep(0.05)
    raise AssertionError(f"the service is not ready after {READY_WITHIN:.0f} s")


def _wait_for(port: int, process: Program, log: Path) -> None:
    deadline = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nobody listens after {STARTED_WITHIN:.0f} s: {log.read_text()[-2000:]}")
