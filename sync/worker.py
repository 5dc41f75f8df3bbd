"""Does jobs: reads a source into the store. Failures are recorded in the run and in the log."""

from __future__ import annotations

from typing import Protocol

from adapters.base import Fetch
from store.errors import RunActive
from store.runs.interrupted_runs import InterruptedRuns
from store.runs.queued_runs import QueuedRuns
from store.runs.runs import Run, RunKind, RunStatus
from sync import logs, retry
from sync.queue import Job
from sync.run import Lane, Progress, no_progress
from sync.runtime import Parts, UsageError, lane, polled

NOT_HERE = "the worker cannot run it ({reason}); give every machine the same configuration"


class Watch(Protocol):
    """Somebody who looks on while runs work."""

    def progress(self, source: str) -> Progress: ...

    def ended(self, run: Run) -> None: ...


class NobodyWatches:
    """The usual case: the journal and the log say enough."""

    def progress(self, source: str) -> Progress:
        return no_progress

    def ended(self, run: Run) -> None:
        """Nothing more to say."""


class Worker:
    """Does jobs, several at once. Never raises from ``do`` and ``work``."""

    def __init__(self, parts: Parts, watch: Watch | None = None) -> None:
        self.parts, self.log, self.watch = parts, logs.logger(), watch or NobodyWatches()
        self.queued, self.interrupted = QueuedRuns(parts.journal), InterruptedRuns(parts.journal)

    def do(self, job: Job) -> bool:
        """One run from beginning to end. False when it is to be asked for again: another is in the way, or this process stops."""
        try:
            if self._dies(job):
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
        """Opens the run. Raises ``RunActive`` or ``UsageError``."""
        return self.parts.engine.begin(self.lane(job), job.kind, _request(job))

    def lane(self, job: Job) -> Lane:
        """The source of the job. Raises ``UsageError`` when it is not configured, or calls us."""
        feed = self.parts.feed(job.source)
        polled(feed)
        return lane(feed)

    def work(self, run: Run, job: Job) -> bool:
        """Does the work of a run that was begun. False as for ``do``."""
        feed = self.parts.feed(job.source)
        try:
            ended = self.parts.engine.work(run, lane(feed), self.parts.polled(feed), _request(job), self.watch.progress(job.source))
            report = self.log.error if ended.status == RunStatus.FAILED else self.log.info
            report("run ended", source=job.source, run=run.id, kind=job.kind, status=ended.status, counts=dict(ended.counts))
            self.watch.ended(ended)
            return ended.status != RunStatus.STOPPED
        except Exception as error:
            self.log.error("run ended", source=job.source, run=run.id, kind=job.kind, status=RunStatus.FAILED, error=logs.place(error))
            return not retry.passes(error)

    def _dies(self, job: Job) -> bool:
        """Whether the last runs of the source died, so that it should wait before the next one does."""
        pause = self.interrupted.pause(*self.lane(job), self.parts.clock())
        if pause:
            self.log.warning("run put off after interrupted runs", source=job.source, kind=job.kind, seconds=round(pause.total_seconds()))
        return bool(pause)

    def _take(self, job: Job) -> Run | None:
        self.lane(job)
        return self.queued.take(job.run, now=self.parts.clock())

    def _refuse(self, job: Job, reason: UsageError) -> None:
        """The job of a source that this machine's configuration does not have. Whoever waits for its run is told."""
        self.log.error("run not started", source=job.source, kind=job.kind, reason=type(reason).__name__)
        if job.run:
            self.queued.refuse(job.run, NOT_HERE.format(reason=reason), self.parts.clock())


def _request(job: Job) -> Fetch:
    return Fetch(full=job.kind == RunKind.FULL)
