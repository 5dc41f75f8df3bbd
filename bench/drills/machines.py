"""Processes of the service: started, killed, stopped in their tracks and looked at."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

EMR_SYNC = str(Path(sys.executable).parent / "emr-sync")
PATIENCE = 60.0


class Machine:
    """``emr-sync serve --only …``. ``host``: a name of its own, as on another machine; ``descriptors``: how many it may have."""

    def __init__(
        self, config: Path, roles: str, *, environment: Mapping[str, str] | None = None, host: str = "", descriptors: int = 0
    ) -> None:
        self.log, self.roles, self.config = config.parent / f"{roles}-{time.monotonic_ns()}.log", roles, config
        command = [EMR_SYNC, "-c", str(config), "serve", "--only", roles]
        if host:
            command = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh", *command]
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=stream,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                preexec_fn=_limit(descriptors) if descriptors else None,
            )

    def started(self) -> Machine:
        """Itself, once it serves."""
        until(lambda: self.process.poll() is not None or any(line.get("event") == "started" for line in self.lines()))
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.roles} ended with {self.process.returncode}: {self.log.read_text()[-1000:]}")
        return self

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        found: list[dict[str, Any]] = []
        for line in self.log.read_text().splitlines():
            with suppress(ValueError):  # what libraries print, and a line that is being written
                found.append(json.loads(line))
        return [one for one in found if isinstance(one, dict)]

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> int:
        """Asks it to stop; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(PATIENCE)


def _limit(descriptors: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))


def until(true: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What it gives, once it gives something. ``TimeoutError`` when it never does."""
    deadline = time.monotonic() + patience
    while not (found := true()):
        if time.monotonic() > deadline:
            raise TimeoutError("it never came true")
        time.sleep(0.05)
    return found
