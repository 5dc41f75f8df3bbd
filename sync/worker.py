"""Does jobs: reads a source into the store. Failures are recorded in the run and in the log."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from adapters.base import Fetch
from store.errors import RunActive
from store.preference import RecordOutcome
from store.runs.interrupted_runs import InterruptedRuns
from store.runs.pushed_reads import PushedReads
from store.runs.queued_runs import QueuedRuns
from store.runs.runs import Run, RunKind, RunStatus
from sync import logs, retry
from sync.config import ConfiguredSource
from sync.queue import Job
from sync.run import Lane, Progress, no_progress
from sync.runtime import Runtime, UsageError, lane, polled

CHANGES = (RecordOutcome.APPLIED, RecordOutcome.MERGED, RecordOutcome.HELD)
"""What a pull finds at a source with push although it should have been reported."""
NOT_HERE = "the worker cannot run it ({reason}); give every machine the same configuration"


class Watch(Protocol):
    """Watches runs, as the demo and tests do."""

    def progress(self, source: str) -> Progress: ...

    def ended(self, run: Run) -> None: ...


class NoWatch:
    """The default: the journal and the log suffice."""

    def progress(self, source: str) -> Progress:
        return no_progress

    def ended(self, run: Run) -> None:
        """Does nothing."""


class Worker:
    """Does jobs, several at once. Never raises from ``do`` and ``work``."""

    def __init__(self, runtime: Runtime, watch: Watch | None = None) -> None:
        self.runtime, self.log, self.watch = runtime, logs.logger(), watch or NoWatch()
        self.queued, self.interrupted = QueuedRuns(runtime.journal), InterruptedRuns(runtime.journal)
        self.reads = PushedReads(runtime.database)

    def do(self, job: Job) -> bool:
        """Does a run from start to end. ``False`` if it must be queued again: another run is in progress, or this process stops."""
        try:
            if self._is_put_off(job):
                return False
            run = self._take(job) if job.run else self.begin(job)
        except UsageError as reason:
            self._refuse(job, reason)
            return True
        except RunActive:
            self.log.info("run not started", source=job.source, kind=job.kind, reason="RunActive")
            return False
        except Exception as error:
            self.log.error("run not started", source=job.source, kind=job.kind, error=logs.place(error))
            return not retry.passes(error)
        return run is None or self.work(run, job)

    def begin(self, job: Job) -> Run:
        """Starts the run. Raises ``RunActive`` or ``UsageError``."""
        return self.runtime.engine.begin(self.lane(job), job.kind, _request(job))

    def lane(self, job: Job) -> Lane:
        """The job's source. Raises ``UsageError`` if it is not configured or is a listener."""
        feed = self.runtime.feed(job.source)
        polled(feed)
        return lane(feed)

    def work(self, run: Run, job: Job) -> bool:
        """Does the work of a started run. ``False`` as in ``do``."""
        feed = self.runtime.feed(job.source)

        def is_current() -> bool:
            return self.runtime.settings.feeds.get(job.source) == feed

        span = self.runtime.tracing.run(job.source, job.kind) if self.runtime.tracing else None
        status, counts = RunStatus.FAILED, Counter[str]()
        try:
            continues = job.kind == RunKind.INCREMENTAL and self.runtime.journal.cursor(job.source) is not None
            ended = self.runtime.engine.work(
                run, lane(feed), self.runtime.polled(feed), _request(job), self.watch.progress(job.source), is_current=is_current
            )
            status, counts = ended.status, Counter(ended.counts)
            report = self.log.error if ended.status == RunStatus.FAILED else self.log.info
            report("run ended", source=job.source, run=run.id, kind=job.kind, status=ended.status, counts=dict(ended.counts))
            self.watch.ended(ended)
            if feed.push and continues:
                self._note_missed(feed, sum(ended.counts.get(one, 0) for one in CHANGES))
            return ended.status != RunStatus.STOPPED
        except Exception as error:
            self.log.error("run ended", source=job.source, run=run.id, kind=job.kind, status=RunStatus.FAILED, error=logs.place(error))
            return not retry.passes(error)
        finally:
            if span:
                span.ended(status, counts)

    def _note_missed(self, feed: ConfiguredSource, changes: int) -> None:
        """Counts the changes that a pull found although the EMR reports changes."""
        self.runtime.metrics.push_missed.add(feed.name, number=changes)
        if changes:
            self.reads.note_missed(feed.name, feed.enterprise, changes, self.runtime.clock())

    def _is_put_off(self, job: Job) -> bool:
        """Whether the job must wait because the last runs of its source died."""
        pause = self.interrupted.pause(*self.lane(job), self.runtime.clock())
        if pause:
            self.log.warning("run put off after interrupted runs", source=job.source, kind=job.kind, seconds=round(pause.total_seconds()))
        return bool(pause)

    def _take(self, job: Job) -> Run | None:
        self.lane(job)
        return self.queued.take(job.run, now=self.runtime.clock())

    def _refuse(self, job: Job, reason: UsageError) -> None:
        """Closes the run of a job whose source this machine's configuration does not have, with the reason."""
        self.log.error("run not started", source=job.source, kind=job.kind, reason=type(reason).__name__)
        if job.run:
            self.queued.refuse(job.run, NOT_HERE.format(reason=reason), self.runtime.clock())


def _request(job: Job) -> Fetch:
    return Fetch(full=job.kind == RunKind.FULL)
