"""What Prometheus reads. Labels are sources, kinds and outcomes: never anything about a patient."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from store.holds.review import AwaitingReview, by_source
from store.runs.processes import NOBODY, Standing
from store.version import version

if TYPE_CHECKING:
    from sync.queue import Depth

Counted = Counter[tuple[str, ...]]


class Metrics:
    """The counters of one process. The library that writes them down is imported when they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records, self._runs, self._frames, self._undecided = Counted(), Counted(), Counted(), Counted()
        self._unavailable, self._refused, self._left_out = Counted(), Counted(), Counted()
        self._provider_events, self._provider_refused = Counted(), Counted()

    def outcomes(self, source: str, counts: Mapping[str, int]) -> None:
        """Counts what became of a batch."""
        with self._lock:
            self._records.update({(source, outcome): number for outcome, number in counts.items()})

    def undecided(self, source: str, attributes: int) -> None:
        """Counts attributes of which nobody could tell which evidence is newer."""
        with self._lock:
            self._undecided[(source,)] += attributes

    def run(self, source: str, kind: str, status: str) -> None:
        """Counts a run that ended."""
        with self._lock:
            self._runs[source, kind, status] += 1

    def bad_frame(self, source: str) -> None:
        """Counts a connection that was closed for its framing."""
        with self._lock:
            self._frames[(source,)] += 1

    def unavailable(self, source: str, messages: int) -> None:
        """Counts messages that were answered AR because they could not be handled."""
        with self._lock:
            self._unavailable[(source,)] += messages

    def refused(self, source: str, reason: str) -> None:
        """Counts a connection that was refused (``adapters.hl7v2.admission``)."""
        with self._lock:
            self._refused[source, reason] += 1

    def left_out(self, source: str, rejections: int) -> None:
        """Counts what could not be used and was not kept, because the hour's room was used up (``store.runs.rejection_room``)."""
        with self._lock:
            self._left_out[(source,)] += rejections

    def provider_events(self, provider: str, outcome: str, events: int) -> None:
        """Counts what became of events that a messaging provider sent."""
        with self._lock:
            self._provider_events[provider, outcome] += events

    def provider_refused(self, provider: str, reason: str) -> None:
        """Counts a webhook that its provider had not signed, or that could not be verified."""
        with self._lock:
            self._provider_refused[provider, reason] += 1

    def text(
        self,
        heard: Mapping[str, datetime],
        held: Iterable[AwaitingReview] = (),
        queue: Depth | None = None,
        unreadable: Mapping[str, int] = MappingProxyType({}),
        skew: float = 0.0,
        processes: Standing = NOBODY,
        look_ups: Mapping[str, tuple[int, int]] = MappingProxyType({}),
        stale: Mapping[str, bool] = MappingProxyType({}),
        failures: Mapping[str, int] = MappingProxyType({}),
        memory: int | None = None,
        last_runs: Mapping[str, bool] = MappingProxyType({}),
    ) -> bytes:
        """Everything in Prometheus' text format. All that is handed in was read just now."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        measured = [*_measured(heard, held, queue, unreadable), *_standing(processes), *_asked(look_ups), _skew(skew)]
        measured += [_stale(stale), _last_runs(last_runs), _failures(failures), _memory(memory), _build()]
        registry.register(_Families(lambda: [*self._counted(), *measured]))
        return generate_latest(registry)

    def _counted(self) -> Iterator[Any]:
        with self._lock:
            records, runs = Counter(self._records), Counter(self._runs)
            frames, undecided = Counter(self._frames), Counter(self._undecided)
            unavailable, refused, left_out = Counter(self._unavailable), Counter(self._refused), Counter(self._left_out)
            events, unsigned = Counter(self._provider_events), Counter(self._provider_refused)
        yield _counter("emr_sync_records", "Records by source and outcome", ["source", "outcome"], records)
        yield _counter("emr_sync_runs", "Runs by source, kind and status", ["source", "kind", "status"], runs)
        yield _counter("emr_sync_bad_frames", "Connections closed because of invalid MLLP frames", ["source"], frames)
        yield _counter("emr_sync_undecided", "Attributes whose newest evidence could not be determined", ["source"], undecided)
        yield _counter("emr_sync_unavailable", "Messages answered AR because they could not be handled", ["source"], unavailable)
        yield _counter("emr_sync_refused_connections", "Connections refused, by reason", ["source", "reason"], refused)
        yield _counter("emr_sync_provider_events", "Events of messaging providers, by outcome", ["provider", "outcome"], events)
        yield _counter("emr_sync_provider_refused", "Webhooks refused, by reason", ["provider", "reason"], unsigned)
        yield _counter("emr_sync_rejections_left_out", "Rejections or payloads not kept: hourly limit", ["source"], left_out)


def _measured(
    heard: Mapping[str, datetime], held: Iterable[AwaitingReview], queue: Depth | None, unreadable: Mapping[str, int]
) -> Iterator[Any]:
    received = {(source,): at.timestamp() for source, at in heard.items()}
    yield _gauge("emr_sync_last_heard_timestamp_seconds", "When data was last received from the source", ["source"], received)
    waiting = by_source(held)
    patients = {(source,): number for source, (number, _) in waiting.items()}
    yield _gauge("emr_sync_held_patients", "Patients with held changes that await review", ["source"], patients)
    since = {(source,): at.timestamp() for source, (_, at) in waiting.items()}
    yield _gauge("emr_sync_held_since_timestamp_seconds", "When the oldest held change was made", ["source"], since)
    unread = {(source,): unreadable.get(source, 0) for source in heard}
    yield _gauge("emr_sync_unreadable_patients", "Patients with newer evidence that could not be read", ["source"], unread)
    jobs: dict[tuple[str], int] = {(state,): number for state, number in queue._asdict().items()} if queue else {}
    yield _gauge("emr_sync_queue_jobs", "Jobs by state: waiting for a worker, or running", ["state"], jobs)


def _standing(processes: Standing) -> Iterator[Any]:
    alive = {(role, state): number for state, by_role in processes.by_state.items() for role, number in by_role.items()}
    about = "Processes by role: alive, or gone without a clean stop"
    yield _gauge("emr_sync_processes", about, ["role", "state"], alive)
    failing = {(one.source,): one.messages for one in processes.failing}
    yield _gauge(
        "emr_sync_intake_failing_messages",
        "Messages answered AR, by all processes, since the last success",
        ["source"],
        failing,
    )


def _asked(look_ups: Mapping[str, tuple[int, int]]) -> Iterator[Any]:
    asked = {(key,): number for key, (number, _) in look_ups.items()}
    yield _counter("emr_sync_look_ups", "Patients looked up, by the id of the API key", ["key"], asked)
    unknown = {(key,): number for key, (_, number) in look_ups.items()}
    yield _counter("emr_sync_unknown_patients", "Looked-up patients that are unknown", ["key"], unknown)


def _skew(seconds: float) -> Any:
    return _gauge("emr_sync_clock_skew_seconds", "Seconds that this machine's clock is ahead of the database's", [], {(): seconds})


def _stale(by_source: Mapping[str, bool]) -> Any:
    about = "1 where nothing was received from the source for longer than its freshness"
    return _gauge("emr_sync_stale_sources", about, ["source"], {(source,): is_stale for source, is_stale in by_source.items()})


def _last_runs(failed: Mapping[str, bool]) -> Any:
    about = "1 where the last run of the source failed, in any process"
    return _gauge("emr_sync_last_run_failed", about, ["source"], {(source,): is_failed for source, is_failed in failed.items()})


def _failures(by_kind: Mapping[str, int]) -> Any:
    about = "Failures that this process noticed: of the database, for lack of memory, processes killed, connections refused"
    return _counter("emr_sync_failures", about, ["kind"], {(kind,): total for kind, total in by_kind.items()})


def _memory(available: int | None) -> Any:
    found = {} if available is None else {(): available}
    return _gauge("emr_sync_memory_available_bytes", "How much more memory this process can get", [], found)


def _build() -> Any:
    from store.db import schema

    labels = (version(), schema.head())
    return _gauge(
        "emr_sync_build_info", "Always 1: the version of this program, and the schema it needs", ["version", "schema"], {labels: 1}
    )


class _Families:
    """What the library asks for families."""

    def __init__(self, collect: Callable[[], Iterable[Any]]) -> None:
        self.collect = collect


def _counter(name: str, about: str, labels: list[str], values: Mapping[Any, float]) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return _filled(CounterMetricFamily(name, about, labels=labels), values)


def _gauge(name: str, about: str, labels: list[str], values: Mapping[Any, float]) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(name, about, labels=labels), values)


def _filled(family: Any, values: Mapping[Any, float]) -> Any:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
