"""Sends a heartbeat every few seconds, with the sources that this process cannot serve, and notices processes that were killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from store.db import outage
from store.runs.processes import EVERY, SILENT, Place, Processes, Reload, Seen, gone
from sync import logs
from sync.housekeeping import Housekeeping
from sync.runtime import Runtime

KILLED = "a process ended without a clean stop: it was killed, or its machine was lost. Check its log and the machine's memory"


class Presence:
    """A role of every serving process. While the database is unreachable it logs nothing: other checks do."""

    def __init__(self, runtime: Runtime, places: Sequence[Place]) -> None:
        self.processes, self.failing, self.places = Processes(runtime.database), runtime.intake_health.failing, places
        self.killed = runtime.killed
        self.log: Any = logs.logger()
        self._started: datetime | None = None
        self._steady: datetime | None = None
        self._last = float("-inf")
        self._missed: set[tuple[str, Place]] = set()
        self._reload: Reload | None = None
        self._lock = threading.Lock()
        self._tending = Housekeeping({"heartbeat": self._tend}, EVERY)

    def start(self) -> None:
        """Sends a heartbeat now and then periodically."""
        self._tending.start()

    def stop(self) -> None:
        """Stops and removes this process, so that it is not reported as gone."""
        self._tending.stop()
        with suppress(Exception):  # without the database, the others will report this process as gone
            self.processes.leave()

    def reloaded(self, places: Sequence[Place], why_not: str = "") -> None:
        """Records the end of a reload, and that this process has these places from now on."""
        with self._lock:
            given_up, self.places = set(self.places).difference(places), places
            self._reload = Reload(self.processes.now(), why_not)
            with suppress(Exception):  # without the database, the next heartbeat records it
                self.processes.give_up(given_up)
        self._tend()

    def _tend(self) -> int:
        with self._lock:
            return self._beat_and_look()

    def _beat_and_look(self) -> int:
        try:
            if self._started is None:
                self.processes.database.compare_clocks()
                self._started = self.processes.now()
                self._ended(self.processes.former())
                self.processes.leave()
            self._beat(self._started)
            self._miss(gone(self.processes.read(), self.processes.now()))
            self._ended(self.processes.sweep())
        except Exception as error:
            if not outage.explanation(error):
                raise
        return 0

    def _beat(self, started: datetime) -> None:
        if self._steady is None or time.monotonic() - self._last > SILENT.total_seconds() / 2:
            self._steady = self.processes.now()
        self.processes.beat(self.places, started, self.failing(), self._steady, self._reload)
        self._last = time.monotonic()

    def _ended(self, left: Iterable[Seen]) -> None:
        """Logs and counts processes that left their rows, once another has started in their place."""
        for process in sorted({one.process for one in left}):
            self.killed.add(KILLED)
            self.log.warning("a process ended without a clean stop", process=process)

    def _miss(self, absent: Sequence[Seen]) -> None:
        """Logs each missing process once."""
        for one in absent:
            if (one.process, one.place) not in self._missed:
                self.log.error("a process is gone", process=one.process, role=one.place.role, source=one.place.source or None)
        self._missed = {(one.process, one.place) for one in absent}
