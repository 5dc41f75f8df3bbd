"""Reads the state of the service for a scrape, or of this process for its parent."""

from __future__ import annotations

from store.patients.webhook_outbox import endpoint_states
from store.patients.write_backs import WriteBacks
from store.runs.failed_runs import last_runs
from store.runs.open_rejections import open_rejections
from store.runs.processes import Processes, standing
from sync import api_report, expiry, memory
from sync.api_report import ApiCounts
from sync.measured import Measured
from sync.process_report import Counts, ProcessReport
from sync.queue import Depth, LocalQueue, Queue
from sync.runtime import Runtime
from sync.scheduled_exports import export_states


def measured(runtime: Runtime, queue: Queue | None = None, api: ApiCounts | None = None) -> Measured:
    """The state as it is now. ``api``: what the API counts, in a process that has it."""
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
        look_ups=api.look_ups.totals() if api else {},
        decisions=api_report.outcomes(api.decisions, beside.counts) if api else {},
        latencies=api_report.latencies(api.decisions, beside.counts) if api else {},
        certificates=expiry.certificates(settings),
        keys=runtime.keys.expiring(now),
        webhooks=endpoint_states(database, settings.webhooks),
        exports=export_states(runtime),
        write_backs={key: number for key, number in WriteBacks(database).counts().items() if key[0] in writing},
    )


def report(runtime: Runtime, queue: LocalQueue | None = None, api: ApiCounts | None = None) -> ProcessReport:
    """What this process counts and does. ``queue``: that of its own jobs; a queue in the database is left to those who read it there."""
    depth, oldest = (queue.depth(), queue.oldest()) if queue else (Depth(0, 0), 0.0)
    counts: Counts = {name: list(one.values().items()) for name, one in runtime.metrics.families().items()}
    counts = {**counts, **(api_report.rows(api) if api else {})}
    return ProcessReport(counts, {one.kind: one.total for one in runtime.recent()}, runtime.own_failures(), *depth, oldest)
