"""The one path from an adapter to the store: map, batch, commit, count; retry what may pass, set aside what never will.

A batch is one transaction: statements, rejections, counts, cursor and the time the source was heard are all committed, or
none of them. A crash at any point repeats work and changes nothing twice.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from adapters.base import Adapter, AdapterError, Answer, Batch, Fetch, Mapper, Payload, Wait
from store.apply import Outcome
from store.database import Database
from store.gate import Guard, HoldAll
from store.held import HeldStatements
from store.journal import Journal, Run
from store.preference import PatientMerge, PatientStatements
from store.preferences import Preferences
from store.verdicts import Verdicts
from store.window import Window
from sync import brake, logs, retry
from sync.config.settings import Backoff, Brake
from sync.metrics import Metrics
from sync.piece import Piece, decided_alone, grouped, not_storable, read, rejected, summary

DONE, FAILED, WAITING, HELD = "done", "failed", "waiting", "held"
STORED = frozenset({"applied", "unchanged", "stale", "merged", "held"})
HEARTBEAT = 30.0
MOST_SET_ASIDE = 20
STOPPED = "stopped before the end: the next run goes on from what is committed"


class Lane(NamedTuple):
    """One source as the engine sees it."""

    source: str
    enterprise: str


@dataclass(slots=True)
class Tally:
    """A run under way and what it has committed so far.

    ``partial``: it reads one patient, or what changed since a time that somebody named. That may leave a gap behind the
    cursor, which so stays, and the source does not count as heard.
    """

    run: Run
    partial: bool = False
    counts: Counter[str] = field(default_factory=Counter)


class Progress(Protocol):
    """Called after each commit with the items done so far, how many there will be where the EMR says so, and what is waited for."""

    def __call__(self, done: int, total: int | None, what: str = "") -> None: ...


class NotYet(Exception):
    """The EMR needs longer than this run may wait. Its text says for what; the cursor knows where to go on."""


def no_progress(done: int, total: int | None, what: str = "") -> None:
    """Nobody watches."""


@dataclass(slots=True)
class Engine:
    """Runs sources and takes in what listeners receive. ``stop`` ends waits and, between batches, runs."""

    database: Database
    preferences: Preferences
    journal: Journal
    clock: Callable[[], datetime]
    metrics: Metrics
    backoff: Backoff = field(default_factory=Backoff)
    batch_size: int = 1000
    stop: threading.Event = field(default_factory=threading.Event)
    log: Any = field(default_factory=logs.logger)
    set_aside: Counter[str] = field(default_factory=Counter)
    brakes: Mapping[str, Brake] = field(default_factory=dict)
    held: HeldStatements = field(init=False)

    def __post_init__(self) -> None:
        self.held = HeldStatements(self.database)

    def run(
        self,
        lane: Lane,
        adapter: Adapter,
        request: Fetch,
        kind: str,
        progress: Progress = no_progress,
        patience: float | None = None,
    ) -> Run:
        """Reads a source from its cursor, or as the request says, until it has no more. Raises ``RunActive``."""
        return self.work(self.begin(lane, kind, request), lane, adapter, request, progress, patience)

    def begin(self, lane: Lane, kind: str, request: Fetch) -> Run:
        """Opens a run, to be worked on at once. Raises ``RunActive``."""
        return self.journal.start(lane.source, lane.enterprise, kind, now=self.clock(), since=request.since)

    def work(
        self,
        run: Run,
        lane: Lane,
        adapter: Adapter,
        request: Fetch,
        progress: Progress = no_progress,
        patience: float | None = None,
    ) -> Run:
        """Does the work of a run that was begun, and closes it.

        An EMR that prepares its answer is waited for, ``patience`` seconds in all (the longest wait between attempts, unless given):
        a worker must not be held for hours. The run is then closed as ``waiting``, and the next one goes on from its cursor.
        """
        tally = Tally(run, partial=request.patient is not None or request.since is not None)
        seconds = self.backoff.longest_wait.total_seconds() if patience is None else patience
        return self._closing(tally, lane, lambda: self._fetch_all(tally, lane, adapter, request, progress, seconds))

    def feed(self, lane: Lane, mapper: Mapper, payloads: Iterable[Payload], progress: Progress = no_progress) -> Run:
        """Takes in messages or resources from files, as one run. The cursor of the source does not move."""
        tally = Tally(self.begin(lane, "ingest", Fetch()))
        return self._closing(tally, lane, lambda: self._feed_all(tally, lane, mapper, payloads, progress))

    def ingest(self, lane: Lane, mapper: Mapper, payloads: Sequence[Payload]) -> list[Answer]:
        """Maps, applies and commits a group of received payloads; answers in their order.

        Returns only after the commit. Raises when nothing could be committed, so that the sender sends again.
        """
        groups = [read(mapper, payload) for payload in payloads]
        answers = iter(self._commit(lane, [piece for group in groups for piece in group], None, None))
        return [summary([next(answers) for _ in group]) for group in groups]

    def _closing(self, tally: Tally, lane: Lane, work: Callable[[], bool]) -> Run:
        """Closes the run as what it became, whatever happens. What is nobody's failure but ours is raised after that."""
        status, error = FAILED, "interrupted"
        try:
            with self._alive(tally.run):
                status, error = self._settle(tally, lane) if work() else (FAILED, STOPPED)
        except NotYet as reason:
            status, error = WAITING, str(reason)
        except AdapterError as failure:
            error = f"needs a person: {failure}" if failure.permanent else str(failure)
        except Exception as failure:
            error = f"{type(failure).__name__} while working on a batch"  # its text may quote a payload
            if not retry.passes(failure):
                raise
        finally:
            closed = self.journal.finish(tally.run, status, error or None, self.clock())
            self.metrics.run(lane.source, closed.kind, status)
        return closed

    def _settle(self, tally: Tally, lane: Lane) -> tuple[str, str]:
        """What the run would loosen takes effect now that its extent is known, or the run is held."""
        rule, now, verdicts = self._brake(lane), self.clock(), Verdicts(self.preferences, self.journal)
        verdicts.expire(lane.enterprise, after=rule.expires, now=now)

        def releases(synced: int, loosened: int, waiting: int) -> bool:
            return brake.releases(rule, synced=synced, loosened=loosened, waiting=waiting)

        settled = verdicts.settle(tally.run, releases, now=now)
        waiting = min(tally.counts[HELD], settled.held)
        tally.counts["applied"] += tally.counts[HELD] - waiting
        tally.counts[HELD] = waiting
        tally.counts = +tally.counts
        with self.database.write(lane.enterprise) as transaction:
            self.journal.progress(transaction, tally.run, tally.counts, None, now=self.clock())
        return (HELD, brake.HELD.format(patients=settled.held, run=tally.run.id)) if settled.held else (DONE, "")

    def _brake(self, lane: Lane) -> Brake:
        return self.brakes.get(lane.enterprise, Brake())

    def _guard(self, transaction: Any, lane: Lane, tally: Tally | None, now: datetime) -> Guard:
        """A run is looked at as a whole, at its end; what comes by itself, over a rolling hour."""
        if tally is not None:
            return HoldAll(tally.run.id)
        rule = self._brake(lane)

        def room(synced: int, lately: int, waiting: int) -> int:
            return brake.room(rule, synced=synced, lately=lately, waiting=waiting)

        return Window(self.held, transaction, lane, room, now=now, span=brake.WINDOW)

    @contextmanager
    def _alive(self, run: Run) -> Iterator[None]:
        """Says every so often that the run lives, however long the EMR takes to answer."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT):
                with suppress(Exception):  # a missed beat is made up for by the next, or by a commit
                    self.journal.alive(run, self.clock())

        thread = threading.Thread(target=beat, name=f"alive-{run.source}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _fetch_all(self, tally: Tally, lane: Lane, adapter: Adapter, request: Fetch, progress: Progress, patience: float) -> bool:
        """Reads to the end, through failures that pass. False when it was told to stop before."""
        attempt, done = 1, 0
        while not self.stop.is_set():
            started = self._from_cursor(lane, request)
            try:
                for batch in adapter.fetch(started):
                    if batch.wait is not None:
                        patience = self._wait(tally, batch, batch.wait, progress, patience)
                    else:
                        done += self._commit_batch(tally, lane, batch)
                        progress(done, batch.total)
                    if self.stop.is_set():
                        return False
                return True
            except NotYet:
                raise
            except Exception as error:
                # Only a cursor that moved is progress: pages that were read again are not, or a page that always fails
                # would be tried for ever.
                attempt = 1 if self._from_cursor(lane, request) != started else attempt
                pause = retry.wait(error, attempt, self.backoff, random.random())
                if pause is None:
                    raise
                attempt += 1
                self.stop.wait(pause)
        return False

    def _wait(self, tally: Tally, batch: Batch, wait: Wait, progress: Progress, patience: float) -> float:
        """Keeps where to go on, and waits; the source was not heard by that. What is left of the patience. Raises :class:`NotYet`.

        What a partial read has under way is known to nobody else, so it is waited for.
        """
        if batch.cursor is not None and not tally.partial:
            with self.database.write(tally.run.enterprise) as transaction:
                self.journal.progress(transaction, tally.run, tally.counts, batch.cursor, now=self.clock())
        if not wait.seconds:
            return patience
        progress(sum(tally.counts.values()), batch.total, wait.what)
        if wait.seconds > patience and not tally.partial:
            raise NotYet(f"{wait.what}: worth asking again in {wait.seconds:.0f} s; the next run goes on from here")
        self.stop.wait(wait.seconds)
        return patience - wait.seconds

    def _from_cursor(self, lane: Lane, request: Fetch) -> Fetch:
        """A retry goes on from what is committed. To a read of everything the cursor says only what is under way already."""
        if request.patient is not None:
            return request
        return replace(request, cursor=self.journal.cursor(lane.source))

    def _commit_batch(self, tally: Tally, lane: Lane, batch: Batch) -> int:
        """Commits one batch in parts of at most ``batch_size``; the cursor goes with the last part."""
        payloads = batch.payloads or [b""] * len(batch.items)
        pieces = [Piece(item, payload) for item, payload in zip(batch.items, payloads, strict=True)]
        parts = [pieces[start : start + self.batch_size] for start in range(0, len(pieces), self.batch_size)] or [[]]
        for part in parts:
            self._commit(lane, part, tally, batch.cursor if part is parts[-1] else None)
        return len(pieces)

    def _feed_all(self, tally: Tally, lane: Lane, mapper: Mapper, payloads: Iterable[Payload], progress: Progress) -> bool:
        done = 0
        for group in grouped((piece for payload in payloads for piece in read(mapper, payload)), self.batch_size):
            self._commit(lane, group, tally, None)
            done += len(group)
            progress(done, None)
            if self.stop.is_set():
                return False
        return True

    def _commit(self, lane: Lane, pieces: Sequence[Piece], tally: Tally | None, cursor: str | None) -> list[Answer]:
        """One transaction. Where an item makes it impossible, the halves are tried alone, until only that item is set aside."""
        try:
            return self._transact(lane, pieces, tally, cursor, {})
        except Exception as error:
            if retry.passes(error) or not pieces:
                raise
            if len(pieces) == 1:
                self._count_set_aside(lane, error)
                self.log.error("record set aside", source=lane.source, locator=pieces[0].item.locator, error=logs.place(error))
                return self._transact(lane, pieces, tally, cursor, {0: Answer("rejected", "not_storable", not_storable(error))})
        middle = len(pieces) // 2
        return self._commit(lane, pieces[:middle], tally, None) + self._commit(lane, pieces[middle:], tally, cursor)

    def _transact(
        self, lane: Lane, pieces: Sequence[Piece], tally: Tally | None, cursor: str | None, decided: Mapping[int, Answer]
    ) -> list[Answer]:
        now, run_id = self.clock(), tally.run.id if tally else None
        with self.database.write(lane.enterprise) as transaction:
            guard = self._guard(transaction, lane, tally, now)
            answers = self.applied(transaction, lane, pieces, now, run_id, decided, guard)
            rows = [row for piece, answer in zip(pieces, answers, strict=True) for row in rejected(piece, answer)]
            self.journal.reject(transaction, rows, source=lane.source, enterprise=lane.enterprise, run_id=run_id, now=now)
            counts = Counter(answer.outcome for answer in answers)
            if tally is not None:
                self.journal.progress(transaction, tally.run, tally.counts + counts, None if tally.partial else cursor, now=now)
            if tally is None or not tally.partial:
                self.journal.heard(transaction, lane.source, lane.enterprise, now=now)
        if tally is not None:
            tally.counts += counts
        if not STORED.isdisjoint(counts):
            self.set_aside.pop(lane.source, None)
        self.metrics.outcomes(lane.source, counts)
        return answers

    def _count_set_aside(self, lane: Lane, error: Exception) -> None:
        """Some records are bad; when one after the other is, the program or the database is, and nothing more is set aside."""
        self.set_aside[lane.source] += 1
        if self.set_aside[lane.source] > MOST_SET_ASIDE:
            raise AdapterError(
                f"more than {MOST_SET_ASIDE} records in a row could not be stored ({logs.place(error)}): please report this line",
                permanent=True,
            ) from error

    def applied(
        self,
        transaction: Any,
        lane: Lane,
        pieces: Sequence[Piece],
        now: datetime,
        run_id: str | None,
        decided: Mapping[int, Answer],
        guard: Guard | None = None,
    ) -> list[Answer]:
        """What becomes of each piece, in its order. ``decided`` are the positions that are not to be tried.

        Without a guard the brake looks at the pieces as at a live feed's.
        """
        guard = guard or self._guard(transaction, lane, None, now)
        answers = [decided.get(position) or decided_alone(piece.item) for position, piece in enumerate(pieces)]
        open_ones = [position for position, answer in enumerate(answers) if answer is None]
        items = [item for position in open_ones if isinstance(item := pieces[position].item, PatientStatements | PatientMerge)]
        outcomes = self._apply(transaction, lane, items, now, run_id, guard) if items else []
        for position, outcome in zip(open_ones, outcomes, strict=True):
            answers[position] = Answer(outcome.outcome, outcome.reason, outcome.detail)
        return [answer for answer in answers if answer is not None]

    def _apply(self, transaction: Any, lane: Lane, items: Sequence[Any], now: datetime, run_id: str | None, guard: Guard) -> list[Outcome]:
        return self.preferences.apply_many(transaction, lane.enterprise, lane.source, items, now=now, run_id=run_id, guard=guard)
