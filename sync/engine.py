"""The path from an adapter to the store: map, batch, commit, count; retry what may succeed, reject what never will.

A batch is one transaction (``sync.intake``). After a crash at any point work is repeated, but nothing is changed twice.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from adapters.base import (
    Adapter,
    AdapterError,
    Batch,
    Fetch,
    IncompleteFetch,
    IngestResult,
    Mapper,
    MissingData,
    Payload,
    SourceSettings,
    Wait,
)
from store.db import outage
from store.db.database import Database
from store.holds.falling_due import DueChanges
from store.holds.remap_source import Remapping
from store.patients.gating import Guard
from store.patients.preferences import Preferences
from store.runs.runs import READ_AGAIN, Journal, Run, RunKind, RunStatus
from sync import logs, retry
from sync.config.settings import Backoff, SafeguardRule
from sync.heartbeat import alive
from sync.intake import Intake, grouped, read, records, summary
from sync.mapping_ahead import AheadRule, MappingAhead
from sync.metrics import Metrics
from sync.recognition import PayloadReader
from sync.run import Lane, Progress, Tally, always, no_progress
from sync.safeguard import Safeguard

BATCH_BYTES = 8 * 1024 * 1024
BEFORE_THE_END = "stopped early; the next run resumes after the last commit"
TWICE = f"{READ_AGAIN} after an incomplete response: {{reason}}"
BROKE_OFF = (
    "the response was incomplete: {reason}. Received data was applied; the cursor did not move, so the next run requests the same range"
)

MISSING = "{reason}. Everything else was applied"


class NotYet(Exception):
    """The EMR needs longer than this run may wait. The text says what for; the next run continues from the cursor."""


@dataclass(slots=True)
class Engine:
    """Runs sources and ingests what listeners receive. ``stop`` ends waits, and runs between batches."""

    database: Database
    preferences: Preferences
    journal: Journal
    clock: Callable[[], datetime]
    metrics: Metrics
    backoff: Backoff = field(default_factory=Backoff)
    batch_size: int = 1000
    batch_bytes: int = BATCH_BYTES
    stop: threading.Event = field(default_factory=threading.Event)
    log: Any = field(default_factory=logs.logger)
    safeguards: Mapping[str, SafeguardRule] = field(default_factory=dict)
    ahead: AheadRule = field(default_factory=AheadRule)
    safeguard: Safeguard = field(init=False)
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.safeguard = Safeguard(self.database, self.preferences, self.journal, self.clock, self.safeguards)
        self.intake = Intake(self.database, self.preferences, self.journal, self.clock, self.metrics, self.safeguard, self.log)

    def reload(self, backoff: Backoff, batch_size: int, batch_bytes: int, safeguards: Mapping[str, SafeguardRule]) -> None:
        """Uses changed settings from the next batch on."""
        self.backoff, self.batch_size, self.batch_bytes, self.safeguards = backoff, batch_size, batch_bytes, safeguards
        self.safeguard.safeguards = safeguards

    def run(
        self,
        lane: Lane,
        adapter: Adapter,
        request: Fetch,
        kind: str,
        progress: Progress = no_progress,
        patience: float | None = None,
    ) -> Run:
        """Reads a source from its cursor, or as requested, to the end. Raises ``RunActive``."""
        return self.work(self.begin(lane, kind, request), lane, adapter, request, progress, patience)

    def begin(self, lane: Lane, kind: str, request: Fetch) -> Run:
        """Starts a run. Raises ``RunActive``."""
        return self.journal.start(lane.source, lane.enterprise, kind, now=self.clock(), since=request.since)

    def work(
        self,
        run: Run,
        lane: Lane,
        adapter: Adapter,
        request: Fetch,
        progress: Progress = no_progress,
        patience: float | None = None,
        is_current: Callable[[], bool] = always,
    ) -> Run:
        """Does the work of a started run and closes it.

        If the EMR prepares its response, the run waits up to ``patience`` seconds in total (default: the longest wait between attempts), so
        that a worker is not blocked for hours. Then the run is closed as ``waiting``, and the next one continues from its cursor.
        It ends early, as ``stopped``, once ``is_current`` is false.
        """
        self.journal.forget_other_enterprise(lane.source, lane.enterprise)
        self.preferences.reads_by(lane.source, adapter.mapper)
        tally = Tally(run, partial=request.patient is not None or request.since is not None, is_current=is_current)
        seconds = self.backoff.longest_wait.total_seconds() if patience is None else patience
        return self._close_after(tally, lane, lambda: self._fetch_all(tally, lane, adapter, request, progress, seconds))

    def feed(
        self,
        lane: Lane,
        mapper: Mapper,
        payloads: Iterable[Payload],
        progress: Progress = no_progress,
        settings: SourceSettings | None = None,
    ) -> Run:
        """Ingests messages or resources from files as one run. The source's cursor does not move.

        ``settings``: those that the mapper was built from; with them a large load may be mapped in a process of its own.
        """
        self.preferences.reads_by(lane.source, mapper)
        tally = Tally(self.begin(lane, RunKind.INGEST, Fetch()))
        with ExitStack() as stack:
            ahead = stack.enter_context(closing(MappingAhead(settings, mapper, self.ahead, self.log))) if settings else None
            reading = PayloadReader(mapper, ahead)
            return self._close_after(tally, lane, lambda: self._feed_all(tally, lane, reading, payloads, progress))

    def ingest(self, lane: Lane, mapper: Mapper, payloads: Sequence[Payload]) -> list[IngestResult]:
        """Maps, applies and commits a group of received payloads. Returns the results in their order, after the commit.

        Raises if nothing could be committed, so that the sender resends.
        """
        self.preferences.reads_by(lane.source, mapper)
        groups = [read(mapper, payload) for payload in payloads]
        answers = iter(self.intake.commit(lane, [piece for group in groups for piece in group], None, None))
        return [summary([next(answers) for _ in group]) for group in groups]

    def read_now(self, lane: Lane, adapter: Adapter, request: Fetch) -> None:
        """Reads and commits a patient whom the EMR reported as changed. There is no run for it. As in a partial run, no cursor moves.

        The safeguard treats what it brings like a live feed. Raises ``AdapterError`` and errors of the database.
        """
        self.preferences.reads_by(lane.source, adapter.mapper)
        reading = PayloadReader(adapter.mapper, is_worth_it=False)
        for batch in adapter.fetch(request):
            self.intake.commit(lane, list(reading.of_batch(batch)), None, None, partial=True)

    def remap(self, lane: Lane, mapper: Mapper, progress: Progress = no_progress) -> Run:
        """Applies the current mapping to the kept codes of a source's patients, as one run. If it ends early, the next run continues."""
        tally = Tally(self.begin(lane, RunKind.REMAP, Fetch()), partial=True)
        work = Remapping(self.preferences, lane.enterprise, lane.source, mapper)
        return self._close_after(tally, lane, lambda: self._remap_all(tally, lane, work, progress))

    def _remap_all(self, tally: Tally, lane: Lane, work: Remapping, progress: Progress) -> bool:
        total, after = work.outdated(), 0
        while True:
            with self.database.write(lane.enterprise) as transaction:
                guard = self.safeguard.guard(transaction, lane, tally, self.clock())
                outcomes = work.page(transaction, self.batch_size, after=after, now=self.clock(), run_id=tally.run.id, guard=guard)
                counts = Counter(outcomes.values())
                self.journal.progress(transaction, tally.run, tally.counts + counts, None, now=self.clock())
            tally.counts += counts
            progress(records(tally.counts), total)
            if not outcomes:
                return True
            after = max(outcomes)
            if self.stop.is_set():
                return False

    def fall_due(self, enterprise: str) -> int:
        """Applies periods that began or ended and returns the number of patients. The safeguard treats this like a live feed."""
        return DueChanges(self.preferences, self._guard_of_due, stopped=self.stop.is_set).run(enterprise, self.clock())

    def _guard_of_due(self, transaction: Any, enterprise: str, source: str, now: datetime) -> Guard:
        return self.safeguard.guard(transaction, Lane(source, enterprise), None, now)

    def _close_after(self, tally: Tally, lane: Lane, work: Callable[[], bool]) -> Run:
        """Does the work and closes the run with its result in any case. Raises errors of the program itself after that."""
        status, error = RunStatus.FAILED, "interrupted"
        try:
            with alive(self.journal, tally.run, self.clock):
                status, error = self._work_and_settle(tally, lane, work)
        except NotYet as reason:
            status, error = RunStatus.WAITING, str(reason)
        except AdapterError as failure:
            error = f"action needed: {failure}" if failure.permanent else str(failure)
        except Exception as failure:
            error = outage.explanation(failure) or f"{type(failure).__name__} while processing a batch"  # its text may quote a payload
            if not retry.passes(failure):
                raise
        finally:
            closed = self.journal.finish(tally.run, status, error or None, self.clock())
            self.metrics.runs.add(lane.source, closed.kind, status)
        return closed

    def _work_and_settle(self, tally: Tally, lane: Lane, work: Callable[[], bool]) -> tuple[RunStatus, str]:
        """Does the work; returns the run's status and message. The safeguard treats an incomplete response like a complete one."""
        self.fall_due(lane.enterprise)
        try:
            if not work():
                return RunStatus.STOPPED, BEFORE_THE_END
        except IncompleteFetch as short:
            status, held = self.safeguard.settle(tally, lane)
            text = MISSING if isinstance(short, MissingData) else BROKE_OFF
            return RunStatus.FAILED if status == RunStatus.DONE else status, _joined(held, text.format(reason=short), *tally.notes)
        status, held = self.safeguard.settle(tally, lane)
        return status, _joined(held, *tally.notes)

    def _fetch_all(self, tally: Tally, lane: Lane, adapter: Adapter, request: Fetch, progress: Progress, patience: float) -> bool:
        """Reads to the end, with retries. Returns ``False`` if it was stopped early."""
        attempt, done, broke_off, reading = 1, 0, False, PayloadReader(adapter.mapper)
        while not self._stops(tally):
            started = self._from_cursor(lane, request)
            try:
                for batch in adapter.fetch(started):
                    if batch.wait is not None:
                        patience = self._wait(tally, batch, batch.wait, progress, patience)
                    else:
                        done += self._commit_batch(tally, lane, batch, reading)
                        progress(done, batch.total)
                    tally.note(batch.note)
                    tally.everybody_since = batch.everybody_since or tally.everybody_since
                    if self._stops(tally):
                        return False
                return True
            except NotYet:
                raise
            except IncompleteFetch as short:
                if broke_off or not short.again:
                    raise
                broke_off = True
                tally.note(TWICE.format(reason=short))
                self.stop.wait(self.backoff.first_wait.total_seconds())
            except Exception as error:
                # Only a moved cursor counts as progress. Otherwise a page that always fails would be retried forever.
                attempt = 1 if self._from_cursor(lane, request) != started else attempt
                pause = retry.wait(error, attempt, self.backoff, random.random())
                if pause is None:
                    raise
                attempt += 1
                self.stop.wait(pause)
        return False

    def _stops(self, tally: Tally) -> bool:
        return self.stop.is_set() or not tally.is_current()

    def _wait(self, tally: Tally, batch: Batch, wait: Wait, progress: Progress, patience: float) -> float:
        """Saves the cursor and waits; returns the patience left. Waiting does not count as receiving data. Raises :class:`NotYet`.

        A partial read always waits, since a later run could not continue it.
        """
        if batch.cursor is not None and not tally.partial:
            with self.database.write(tally.run.enterprise) as transaction:
                self.journal.progress(transaction, tally.run, tally.counts, batch.cursor, now=self.clock())
        if not wait.seconds:
            return patience
        progress(records(tally.counts), batch.total, wait.what)
        if wait.seconds > patience and not tally.partial:
            raise NotYet(f"{wait.what}: retry in {wait.seconds:.0f} s; the next run resumes from here")
        self.stop.wait(wait.seconds)
        return patience - wait.seconds

    def _from_cursor(self, lane: Lane, request: Fetch) -> Fetch:
        """The request with the committed cursor, where a retry continues. In a full read it only tells what is in progress."""
        if request.patient is not None:
            return request
        return replace(request, cursor=self.journal.cursor(lane.source))

    def _commit_batch(self, tally: Tally, lane: Lane, batch: Batch, reading: PayloadReader) -> int:
        """Commits a batch in parts of at most ``batch_size`` and ``batch_bytes``. The cursor is committed with the last part."""
        parts = list(grouped(reading.of_batch(batch), self.batch_size, self.batch_bytes)) or [[]]
        for part in parts:
            reading.learn(self.intake.commit(lane, part, tally, batch.cursor if part is parts[-1] else None))
        return len(batch.items)

    def _feed_all(self, tally: Tally, lane: Lane, reading: PayloadReader, payloads: Iterable[Payload], progress: Progress) -> bool:
        done = 0
        for group in grouped(reading.pieces(payloads), self.batch_size, self.batch_bytes):
            reading.learn(self.intake.commit(lane, group, tally, None))
            done += len(group)
            progress(done, None)
            if self.stop.is_set():
                return False
        return True


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
