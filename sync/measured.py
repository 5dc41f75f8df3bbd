"""What Prometheus reads of the state of the service, as it is now. Labels are sources, keys and reasons: never anything about a patient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from store.holds.review import AwaitingReview, by_source
from store.patients.webhook_outbox import EndpointState
from store.runs.open_rejections import OpenRejections
from store.runs.processes import NOBODY, Standing
from store.version import version
from store.web.http.decision_counts import BOUNDS, Latency

if TYPE_CHECKING:
    from sync.queue import Depth

NONE: Mapping[Any, Any] = MappingProxyType({})


class ExportState(NamedTuple):
    """An export: when a list was last delivered, and since when none could be."""

    delivered: datetime | None = None
    failing: datetime | None = None


class Measured(NamedTuple):
    """What was read for one scrape. Counts of this process are here, too, where others than ``sync`` keep them.

    ``beside``: the counters of the processes that this one started.
    """

    heard: Mapping[str, datetime] = NONE
    held: Iterable[AwaitingReview] = ()
    queue: Depth | None = None
    oldest_job: float = 0.0
    unreadable: Mapping[str, int] = NONE
    rejections: Mapping[str, OpenRejections] = NONE
    replies: Mapping[str, int] = NONE
    skew: float = 0.0
    processes: Standing = NOBODY
    stale: Mapping[str, bool] = NONE
    last_runs: Mapping[str, bool] = NONE
    failures: Mapping[str, int] = NONE
    memory: int | None = None
    look_ups: Mapping[str, tuple[int, int]] = NONE
    decisions: Mapping[tuple[str, str], float] = NONE
    latencies: Mapping[int, Latency] = NONE
    certificates: Mapping[str, datetime] = NONE
    keys: Mapping[str, datetime] = NONE
    write_backs: Mapping[tuple[str, str], int] = NONE
    webhooks: Mapping[str, EndpointState] = NONE
    exports: Mapping[str, ExportState] = NONE
    beside: Mapping[str, Iterable[tuple[tuple[str, ...], float]]] = NONE

    def families(self) -> Iterator[Any]:
        """The metrics as the library writes them."""
        yield from self._sources()
        yield from self._waiting()
        yield from self._processes()
        yield from self._answers()
        yield from self._expiring()

    def _sources(self) -> Iterator[Any]:
        yield times("emr_sync_last_heard_timestamp_seconds", "When data was last received from the source", "source", self.heard)
        unread = {source: self.unreadable.get(source, 0) for source in self.heard}
        yield by("emr_sync_unreadable_patients", "Patients with newer evidence that could not be read", "source", unread)
        yield by(
            "emr_sync_stale_sources", "1 where nothing was received from the source for longer than its freshness", "source", self.stale
        )
        yield by("emr_sync_last_run_failed", "1 where the last run of the source failed, in any process", "source", self.last_runs)

    def _waiting(self) -> Iterator[Any]:
        held = by_source(self.held)
        patients, since = {name: one[0] for name, one in held.items()}, {name: one[1] for name, one in held.items()}
        yield by("emr_sync_held_patients", "Patients with held changes that await review", "source", patients)
        yield times("emr_sync_held_since_timestamp_seconds", "When the oldest held change was made", "source", since)
        numbers = {source: one.number for source, one in self.rejections.items()}
        oldest = {source: one.oldest for source, one in self.rejections.items()}
        yield by("emr_sync_open_rejections", "Rejections that nobody has resolved", "source", numbers)
        yield times("emr_sync_oldest_rejection_timestamp_seconds", "When the oldest open rejection was last received", "source", oldest)
        found = {key: number for key, number in self.write_backs.items() if key[1] in ("waiting", "dead")}
        yield gauge("emr_sync_write_backs", "Opt-outs that an EMR does not have yet: waiting, or dead", ["source", "state"], found)
        sent = {(name, "waiting"): one.waiting for name, one in self.webhooks.items()}
        sent |= {(name, "disabled"): one.disabled is not None for name, one in self.webhooks.items()}
        about = "Senders' webhook endpoints: messages waiting, and 1 where it is disabled"
        yield gauge("emr_sync_webhooks", about, ["endpoint", "state"], sent)
        failed = {name: one.failing is not None for name, one in self.exports.items()}
        yield by("emr_sync_export_failed", "1 where the last suppression list could not be delivered", "export", failed)
        delivered = {name: one.delivered for name, one in self.exports.items() if one.delivered}
        about = "When a suppression list was last delivered"
        yield times("emr_sync_export_delivered_timestamp_seconds", about, "export", delivered)
        yield by("emr_sync_replies_to_review", "Patients' replies that await review", "enterprise", self.replies)
        jobs = self.queue._asdict() if self.queue else {}
        yield by("emr_sync_queue_jobs", "Jobs by state: waiting for a worker, or running", "state", jobs)
        yield one("emr_sync_queue_oldest_seconds", "How long the oldest waiting job has waited; 0 without one", self.oldest_job)

    def _processes(self) -> Iterator[Any]:
        alive = {(role, state): number for state, roles in self.processes.by_state.items() for role, number in roles.items()}
        yield gauge("emr_sync_processes", "Processes by role: alive, or gone without a clean stop", ["role", "state"], alive)
        failing = {one.source: one.messages for one in self.processes.failing}
        about = "Messages answered AR, by all processes, since the last success"
        yield by("emr_sync_intake_failing_messages", about, "source", failing)
        yield one("emr_sync_clock_skew_seconds", "Seconds that this machine's clock is ahead of the database's", self.skew)
        about = "Failures that this process noticed: of the database, for lack of memory, processes killed, connections refused"
        yield counter("emr_sync_failures", about, ["kind"], {(kind,): total for kind, total in self.failures.items()})
        found = {} if self.memory is None else {(): self.memory}
        yield gauge("emr_sync_memory_available_bytes", "How much more memory this process can get", [], found)
        yield _build()

    def _answers(self) -> Iterator[Any]:
        asked = {(key,): number for key, (number, _) in self.look_ups.items()}
        yield counter("emr_sync_look_ups", "Patients looked up, by the id of the API key", ["key"], asked)
        unknown = {(key,): number for key, (_, number) in self.look_ups.items()}
        yield counter("emr_sync_unknown_patients", "Looked-up patients that are unknown", ["key"], unknown)
        about = "Decisions, single and in batches; those that refuse by their first reason"
        yield counter("emr_sync_decisions", about, ["decision", "reason"], self.decisions)
        yield _latency(self.latencies)

    def _expiring(self) -> Iterator[Any]:
        about = "When the first certificate of a setting expires"
        yield times("emr_sync_certificate_expires_timestamp_seconds", about, "setting", self.certificates)
        yield times("emr_sync_key_expires_timestamp_seconds", "When an API key expires, by its id", "key", self.keys)


NOTHING = Measured()


def counter(name: str, about: str, labels: list[str], values: Mapping[Any, float]) -> Any:
    """A family of counters: label values -> value."""
    from prometheus_client.core import CounterMetricFamily

    return _filled(CounterMetricFamily(name, about, labels=labels), values)


def gauge(name: str, about: str, labels: list[str], values: Mapping[Any, float]) -> Any:
    """A family of gauges: label values -> value."""
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(name, about, labels=labels), values)


def by(name: str, about: str, label: str, values: Mapping[str, float]) -> Any:
    """Gauges with one label."""
    return gauge(name, about, [label], {(key,): value for key, value in values.items()})


def times(name: str, about: str, label: str, values: Mapping[str, datetime]) -> Any:
    """The same for times, in seconds since 1970."""
    return by(name, about, label, {key: value.timestamp() for key, value in values.items()})


def one(name: str, about: str, value: float) -> Any:
    """A gauge without labels."""
    return gauge(name, about, [], {(): value})


def _build() -> Any:
    from store.db import schema

    about = "Always 1: the version of this program, and the schema it needs"
    return gauge("emr_sync_build_info", about, ["version", "schema"], {(version(), schema.head()): 1})


def _latency(by_status: Mapping[int, Latency]) -> Any:
    from prometheus_client.core import HistogramMetricFamily
    from prometheus_client.utils import floatToGoString

    about = "Seconds from a single request's headers to its answer, by HTTP status"
    family, bounds = HistogramMetricFamily("emr_sync_decision_seconds", about, labels=["status"]), [*map(floatToGoString, BOUNDS), "+Inf"]
    for status, found in by_status.items():
        family.add_metric([str(status)], list(zip(bounds, found.buckets, strict=True)), found.seconds)
    return family


def _filled(family: Any, values: Mapping[Any, float]) -> Any:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
