"""What Prometheus reads. Labels are sources, kinds and outcomes: never anything about a patient."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from sync.measured import NOTHING, Measured, counter


class Count:
    """One family of counters, with the names of its labels. Thread-safe."""

    def __init__(self, name: str, about: str, *labels: str) -> None:
        self.name, self.about, self.labels = name, about, labels
        self._lock, self._values = threading.Lock(), Counter[tuple[str, ...]]()

    def add(self, *values: str, number: int = 1) -> None:
        """Counts; ``values`` are those of the labels, in their order."""
        with self._lock:
            self._values[values] += number

    def values(self) -> Counter[tuple[str, ...]]:
        """Labels -> value."""
        with self._lock:
            return Counter(self._values)

    def family(self, beside: Iterable[tuple[tuple[str, ...], float]] = ()) -> Any:
        """The counters as the library writes them, with those of the processes beside this one."""
        values: Counter[tuple[str, ...]] = self.values()
        values.update(dict(beside))
        return counter(f"emr_sync_{self.name}", self.about, list(self.labels), values)


class Metrics:
    """The counters of one process. The library that writes them down is imported when they are asked for."""

    def __init__(self) -> None:
        self.records = Count("records", "Records by source and outcome", "source", "outcome")
        self.runs = Count("runs", "Runs by source, kind and status", "source", "kind", "status")
        self.bad_frames = Count("bad_frames", "Connections closed because of invalid MLLP frames", "source")
        self.undecided = Count("undecided", "Attributes whose newest evidence could not be determined", "source")
        self.unavailable = Count("unavailable", "Messages answered AR because they could not be handled", "source")
        self.refused = Count("refused_connections", "Connections refused, by reason", "source", "reason")
        self.left_out = Count("rejections_left_out", "Rejections or payloads not kept: hourly limit", "source")
        self.provider_events = Count("provider_events", "Events of messaging providers, by outcome", "provider", "outcome")
        self.provider_refused = Count("provider_refused", "Webhooks refused, by reason", "provider", "reason")
        self.webhooks = Count("webhook_attempts", "Attempts to send webhooks, by outcome", "endpoint", "outcome")
        self.pushed = Count("push_notifications", "Notifications of EMRs, by kind", "source", "kind")
        self.push_refused = Count("push_refused", "Notifications refused, by reason", "source", "reason")
        self.push_reads = Count("push_reads", "Reads that notifications asked for, by outcome", "source", "outcome")
        self.push_missed = Count("push_missed", "Changes found by a pull that push had not brought", "source")
        self.exports = Count("exports", "Suppression lists written on a schedule, by outcome", "export", "outcome")
        self.written_back = Count("written_back", "Attempts to write opt-outs to EMRs, by outcome", "source", "outcome")

    def families(self) -> dict[str, Count]:
        """All counters by name."""
        return dict(vars(self))

    def text(self, measured: Measured = NOTHING) -> bytes:
        """Everything in Prometheus' text format. ``measured`` was read just now."""
        from prometheus_client import CollectorRegistry, generate_latest

        counts, beside = self.families(), measured.beside
        registry = CollectorRegistry()
        registry.register(_Families(lambda: [*(one.family(beside.get(name, ())) for name, one in counts.items()), *measured.families()]))
        return generate_latest(registry)


class _Families:
    """What the library asks for families."""

    def __init__(self, collect: Callable[[], Iterable[Any]]) -> None:
        self.collect = collect
