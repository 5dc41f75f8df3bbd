"""What Prometheus reads. Labels are sources, kinds and outcomes: never anything about a patient."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sync.measured import NOTHING, Measured, counter

Counted = Counter[tuple[str, ...]]


class Metrics:
    """The counters of one process. The library that writes them down is imported when they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records, self._runs, self._frames, self._undecided = Counted(), Counted(), Counted(), Counted()
        self._unavailable, self._refused, self._left_out = Counted(), Counted(), Counted()
        self._provider_events, self._provider_refused = Counted(), Counted()
        self._webhooks, self._written_back = Counted(), Counted()
        self._pushed, self._push_refused, self._push_reads, self._push_missed = Counted(), Counted(), Counted(), Counted()

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

    def webhook(self, endpoint: str, outcome: str) -> None:
        """Counts an attempt to send a webhook to a sender."""
        with self._lock:
            self._webhooks[endpoint, outcome] += 1

    def pushed(self, source: str, kind: str) -> None:
        """Counts a notification that an EMR sent."""
        with self._lock:
            self._pushed[source, kind] += 1

    def push_refused(self, source: str, reason: str) -> None:
        """Counts a notification that was not signed as configured."""
        with self._lock:
            self._push_refused[source, reason] += 1

    def push_read(self, source: str, outcome: str) -> None:
        """Counts what became of a read that a notification asked for."""
        with self._lock:
            self._push_reads[source, outcome] += 1

    def push_missed(self, source: str, records: int) -> None:
        """Counts changes that a pull found, at a source whose EMR should have reported them before."""
        with self._lock:
            self._push_missed[(source,)] += records

    def written_back(self, source: str, outcome: str) -> None:
        """Counts what became of an attempt to write an opt-out to an EMR."""
        with self._lock:
            self._written_back[source, outcome] += 1

    def text(self, measured: Measured = NOTHING) -> bytes:
        """Everything in Prometheus' text format. ``measured`` was read just now."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(_Families(lambda: [*self._counted(), *measured.families()]))
        return generate_latest(registry)

    def _counted(self) -> Iterator[Any]:
        with self._lock:
            records, runs = Counter(self._records), Counter(self._runs)
            frames, undecided = Counter(self._frames), Counter(self._undecided)
            unavailable, refused, left_out = Counter(self._unavailable), Counter(self._refused), Counter(self._left_out)
            events, unsigned = Counter(self._provider_events), Counter(self._provider_refused)
            sent, written_back = Counter(self._webhooks), Counter(self._written_back)
            pushed, forged = Counter(self._pushed), Counter(self._push_refused)
            push_reads, missed = Counter(self._push_reads), Counter(self._push_missed)
        yield counter("emr_sync_records", "Records by source and outcome", ["source", "outcome"], records)
        yield counter("emr_sync_runs", "Runs by source, kind and status", ["source", "kind", "status"], runs)
        yield counter("emr_sync_bad_frames", "Connections closed because of invalid MLLP frames", ["source"], frames)
        yield counter("emr_sync_undecided", "Attributes whose newest evidence could not be determined", ["source"], undecided)
        yield counter("emr_sync_unavailable", "Messages answered AR because they could not be handled", ["source"], unavailable)
        yield counter("emr_sync_refused_connections", "Connections refused, by reason", ["source", "reason"], refused)
        yield counter("emr_sync_provider_events", "Events of messaging providers, by outcome", ["provider", "outcome"], events)
        yield counter("emr_sync_provider_refused", "Webhooks refused, by reason", ["provider", "reason"], unsigned)
        yield counter("emr_sync_webhook_attempts", "Attempts to send webhooks, by outcome", ["endpoint", "outcome"], sent)
        yield counter("emr_sync_push_notifications", "Notifications of EMRs, by kind", ["source", "kind"], pushed)
        yield counter("emr_sync_push_refused", "Notifications refused, by reason", ["source", "reason"], forged)
        yield counter("emr_sync_push_reads", "Reads that notifications asked for, by outcome", ["source", "outcome"], push_reads)
        yield counter("emr_sync_push_missed", "Changes found by a pull that push had not brought", ["source"], missed)
        yield counter("emr_sync_written_back", "Attempts to write opt-outs to EMRs, by outcome", ["source", "outcome"], written_back)
        yield counter("emr_sync_rejections_left_out", "Rejections or payloads not kept: hourly limit", ["source"], left_out)


class _Families:
    """What the library asks for families."""

    def __init__(self, collect: Callable[[], Iterable[Any]]) -> None:
        self.collect = collect
