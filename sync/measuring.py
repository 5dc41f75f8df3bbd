"""Reads the state of the service for a scrape, or of this process for its parent."""

from __future__ import annotations

from store.patients.webhook_outbox import endpoint_states
from store.patients.write_backs import WriteBacks
from store.runs.failed_runs import last_runs
from store.runs.open_rejections import open_rejections
from store.runs.processes import Processes, standing
from store.web.http.decision_counts import DecisionCounts
from store.web.http.unknown_patients import LookUps
from sync import expiry, memory
from sync.measured import Measured
from sync.process_report import ProcessReport
from sync.queue import Depth, Queue
from sync.runtime import Runtime
from sync.scheduled_exports import export_states


def measured(
    runtime: Runtime, queue: Queue | None = None, look_ups: LookUps | None = None, counts: DecisionCounts | None = None
) -> Measured:
    """The state as it is now. ``look_ups`` and ``counts``: those of the API, in a process that has it."""
    database, settings, preferences, now = runtime.database, runtime.settings, runtime.preferences, runtime.clock()
    processes, writing = Processes(database), {name for name, feed in settings.feeds.items() if feed.write_back}
    beside = runtime.beside()
    return Measured(
        heard=runtime.journal.last_heard(),
        held=runtime.verdicts.awaiting_review(),
        queue=queue.depth() if queue else None,
        oldest_job=queue.oldest() if queue else 0.0,
        unreadable=preferences.unreadable(),
        rejections=open_rejections(database),
        replies={one: sum(found.number for found in preferences.replies.waiting(one).values()) for one in settings.enterprises},
        skew=database.compare_clocks().total_seconds(),
        processes=standing(processes.read(), processes.now()),
        stale=preferences.freshness.stale(preferences.enterprises.values(), now),
        last_runs={source: failed is not None for source, failed in last_runs(database, settings.feeds).items()},
        failures={one.kind: one.total + beside.totals.get(one.kind, 0) for one in runtime.recent()},
        beside=beside.counts,
        memory=memory.available(),
        look_ups=look_ups.totals() if look_ups else {},
        decisions=counts.outcomes() if counts else {},
        latencies=counts.latencies() if counts else {},
        certificates=expiry.certificates(settings),
        keys=runtime.keys.expiring(now),
        webhooks=endpoint_states(database, settings.webhooks),
        exports=export_states(runtime),
        write_backs={key: number for key, number in WriteBacks(database).counts().items() if key[0] in writing},
    )


def report(runtime: Runtime, queue: Queue) -> ProcessReport:
    """What this process counts and does. Where the queue is in the database, its jobs are left to those who read it there."""
    depth, oldest = (queue.depth(), queue.oldest()) if runtime.database.is_sqlite else (Depth(0, 0), 0.0)
    counts = {name: list(one.values().items()) for name, one in runtime.metrics.families().items()}
    return ProcessReport(counts, {one.kind: one.total for one in runtime.recent()}, runtime.own_failures(), *depth, oldest)
