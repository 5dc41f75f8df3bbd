"""What Prometheus reads. Labels are sources, kinds and outcomes: never anything about a patient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from store.brake.waiting import Waiting, by_source
from sync.queue import Depth


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = Counter("emr_sync_records", "Records by source and outcome", ["source", "outcome"], registry=self.registry)
        self._runs = Counter("emr_sync_runs", "Runs by source, kind and status", ["source", "kind", "status"], registry=self.registry)
        self._heard = Gauge("emr_sync_last_heard_timestamp_seconds", "When the source was last heard", ["source"], registry=self.registry)
        self._frames = Counter("emr_sync_bad_frames", "Connections closed for what is no MLLP frame", ["source"], registry=self.registry)
        self._held = Gauge("emr_sync_held_patients", "Patients whose held changes wait for a person", ["source"], registry=self.registry)
        since, about = "emr_sync_held_since_timestamp_seconds", "Since when the oldest of them waits"
        self._since = Gauge(since, about, ["source"], registry=self.registry)
        unread = "Patients about whom newer evidence could not be read"
        self._unreadable = Gauge("emr_sync_unreadable_patients", unread, ["source"], registry=self.registry)
        self._jobs = Gauge("emr_sync_queue_jobs", "Jobs by state: waiting for a worker, or running", ["state"], registry=self.registry)

    def outcomes(self, source: str, counts: Mapping[str, int]) -> None:
        """Counts what became of a batch."""
        for outcome, number in counts.items():
            self._records.labels(source, outcome).inc(number)

    def run(self, source: str, kind: str, status: str) -> None:
        """Counts a run that ended."""
        self._runs.labels(source, kind, status).inc()

    def bad_frame(self, source: str) -> None:
        """Counts a connection that was closed for its framing."""
        self._frames.labels(source).inc()

    def text(
        self,
        heard: Mapping[str, datetime],
        held: Iterable[Waiting] = (),
        queue: Depth | None = None,
        unreadable: Mapping[str, int] = MappingProxyType({}),
    ) -> bytes:
        """Everything in Prometheus' text format. All that is handed in was read just now."""
        for state, jobs in queue._asdict().items() if queue else ():
            self._jobs.labels(state).set(jobs)
        self._unreadable.clear()
        for source in heard:
            self._unreadable.labels(source).set(unreadable.get(source, 0))
        self._held.clear()
        self._since.clear()
        for source, (patients, since) in by_source(held).items():
            self._held.labels(source).set(patients)
            self._since.labels(source).set(since.timestamp())
        for source, at in heard.items():
            self._heard.labels(source).set(at.timestamp())
        return generate_latest(self.registry)
