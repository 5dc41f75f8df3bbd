"""Looks at readiness, metrics and logs during a drill: where did it show?"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence

from bench.drills.machines import Machine
from bench.drills.traffic import call

SAMPLE = re.compile(r"^(emr_sync_\w+)(\{[^}]*\})? ([-+.\deE]+)$", re.MULTILINE)
TELLING = ("emr_sync_unavailable_total", "emr_sync_intake_failing_messages", "emr_sync_refused_connections_total")
FAILURES = "emr_sync_failures_total"
STATES = ("emr_sync_stale_sources", "emr_sync_last_run_failed")
SKEW, PROCESSES = "emr_sync_clock_skew_seconds", "emr_sync_processes"


class Watcher:
    """Asks each API twice a second, with a key that may know."""

    def __init__(self, ports: Sequence[int], key: str) -> None:
        self.ports, self.key = ports, key
        self.readiness: set[str] = set()
        self.metrics: set[str] = set()
        self._before: Mapping[str, float] = {}
        self._marks: dict[Machine, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self, machines: Iterable[Machine]) -> None:
        """From now on; what was before counts no more."""
        self._before = {name: value for port in self.ports for name, value in _samples(port).items()}
        self._marks = {one: len(one.lines()) for one in machines}
        self._thread.start()

    def stop(self, machines: Iterable[Machine]) -> str:
        """Ends it; the events of warnings and errors that the logs had meanwhile."""
        self._ended.set()
        self._thread.join(60)
        lines = [line for one in machines for line in one.lines()[self._marks.get(one, 0) :]]
        events = dict.fromkeys(str(line["event"]) for line in lines if line.get("level") in ("warning", "error"))
        return ", ".join(event for event in events if not event.startswith("other users can read"))

    def _run(self) -> None:
        while not self._ended.wait(0.5):
            for port in self.ports:
                self._look(port)

    def _look(self, port: int) -> None:
        status, found = call(port, "GET", "/readyz", self.key)
        if status != 200:
            self.readiness.add(str(status or "no answer"))
        if isinstance(found, dict):
            self.readiness |= {name for name in ("intake", "processes", "runs") if found.get(name)}
            self.readiness |= {f"failures ({one['kind']})" for one in found.get("failures", ())}
            self.readiness |= {"stale"} if any(one["state"] == "stale" for one in found.get("sources", ())) else set()
            self.readiness |= {"clock_skew"} if abs(found.get("clock_skew", 0)) > 5 else set()
        now = _samples(port)
        if not now:
            self.metrics.add("scrape fails")
        for name, value in now.items():
            if name.startswith(TELLING) and value > self._before.get(name, 0):
                self.metrics.add(name.partition("{")[0])
            if name.startswith(FAILURES) and value > self._before.get(name, 0):
                self.metrics.add(name)
            if name.startswith(STATES) and value and not self._before.get(name):
                self.metrics.add(name.partition("{")[0])
            if name.startswith(SKEW) and abs(value) > 5:
                self.metrics.add(SKEW)
            if name.startswith(PROCESSES) and "gone" in name and value:
                self.metrics.add(f"{PROCESSES} gone")


def _samples(port: int) -> dict[str, float]:
    status, text = call(port, "GET", "/metrics")
    return {name + (labels or ""): float(value) for name, labels, value in SAMPLE.findall(text)} if status == 200 else {}
