"""One group of records into the store, in one transaction: statements, rejections, counts, cursor and the time the source was heard.

All of them are committed, or none. Where an item makes it impossible, the halves are tried alone, until only that item is set aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapters.base import AdapterError, Answer
from store import clock_skew
from store.apply import Outcome
from store.database import Database
from store.gating import Guard
from store.journal import Journal
from store.preference import PatientMerge, PatientStatements
from store.preferences import Preferences
from store.sources.arrivals import Arrivals
from sync import logs, retry
from sync.braking import Braking
from sync.lane import Lane
from sync.metrics import Metrics
from sync.piece import UNDECIDED, Piece, decided_alone, not_kept, not_storable, problems, rejected
from sync.tally import Tally

STORED = frozenset({"applied", "unchanged", "stale", "merged", "held"})
MOST_SET_ASIDE = 20


@dataclass(slots=True)
class Intake:
    """Commits groups of records. Thread-safe; one per engine."""

    database: Database
    preferences: Preferences
    journal: Journal
    clock: Callable[[], datetime]
    metrics: Metrics
    braking: Braking
    log: Any
    set_aside: Counter[str] = field(default_factory=Counter)
    arrivals: Arrivals = field(init=False)

    def __post_init__(self) -> None:
        self.arrivals = Arrivals(self.database)

    def commit(self, lane: Lane, pieces: Sequence[Piece], tally: Tally | None, cursor: str | None) -> list[Answer]:
        """What became of each piece, in order, after the commit. Raises when nothing could be committed. No tally: a live feed."""
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
        return self.commit(lane, pieces[:middle], tally, None) + self.commit(lane, pieces[middle:], tally, cursor)

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
        guard = guard or self.braking.guard(transaction, lane, None, now)
        answers = [decided.get(position) or decided_alone(piece.item) for position, piece in enumerate(pieces)]
        open_ones = [position for position, answer in enumerate(answers) if answer is None]
        items = [item for position in open_ones if isinstance(item := pieces[position].item, PatientStatements | PatientMerge)]
        outcomes = self._apply(transaction, lane, items, now, run_id, guard) if items else []
        for position, outcome in zip(open_ones, outcomes, strict=True):
            answers[position] = Answer(outcome.outcome, outcome.reason, outcome.detail, problems(pieces[position]), outcome.undecided)
        return [answer for answer in answers if answer is not None]

    def _transact(
        self, lane: Lane, pieces: Sequence[Piece], tally: Tally | None, cursor: str | None, decided: Mapping[int, Answer]
    ) -> list[Answer]:
        now, run_id = self.clock(), tally.run.id if tally else None
        with self.database.write(lane.enterprise) as transaction:
            clock_skew.check(self.database.skew)
            guard = self.braking.guard(transaction, lane, tally, now)
            answers = self.applied(transaction, lane, pieces, now, run_id, decided, guard)
            left_out, bare = self._reject(transaction, lane, pieces, answers, run_id, now)
            counts = Counter(answer.outcome for answer in answers)
            self.arrivals.count(transaction, lane.source, lane.enterprise, counts, now=now)
            undecided = Counter({UNDECIDED: sum(answer.undecided for answer in answers)})
            if tally is not None:
                so_far = tally.counts + counts + undecided
                self.journal.progress(transaction, tally.run, so_far, None if tally.partial else cursor, now=now)
            if tally is None or not tally.partial:
                self.journal.heard(transaction, lane.source, lane.enterprise, now=now)
        if tally is not None:
            tally.counts += counts + undecided
        if not STORED.isdisjoint(counts):
            self.set_aside.pop(lane.source, None)
        self.metrics.outcomes(lane.source, counts)
        self.metrics.undecided(lane.source, undecided[UNDECIDED])
        self.metrics.left_out(lane.source, left_out + len(bare))
        return [not_kept(answer) if place in bare and tally is None else answer for place, answer in enumerate(answers)]

    def _reject(
        self, transaction: Any, lane: Lane, pieces: Sequence[Piece], answers: Sequence[Answer], run_id: str | None, now: datetime
    ) -> tuple[int, frozenset[int]]:
        """Keeps what could not be used: how much of it was left out, and the places of pieces of which no payload could be kept."""
        placed = [
            (place, row)
            for place, (piece, answer) in enumerate(zip(pieces, answers, strict=True))
            for row in rejected(piece, answer, answered=run_id is None)
        ]
        rows = [row for _, row in placed]
        kept = self.journal.reject(transaction, rows, source=lane.source, enterprise=lane.enterprise, run_id=run_id, now=now)
        return kept.left_out, frozenset(placed[row][0] for row in kept.bare)

    def _count_set_aside(self, lane: Lane, error: Exception) -> None:
        """Some records are bad; when one after the other is, the program or the database is, and nothing more is set aside."""
        self.set_aside[lane.source] += 1
        if self.set_aside[lane.source] > MOST_SET_ASIDE:
            raise AdapterError(
                f"more than {MOST_SET_ASIDE} records in a row could not be stored ({logs.place(error)}): please report this line",
                permanent=True,
            ) from error

    def _apply(self, transaction: Any, lane: Lane, items: Sequence[Any], now: datetime, run_id: str | None, guard: Guard) -> list[Outcome]:
        return self.preferences.apply_many(transaction, lane.enterprise, lane.source, items, now=now, run_id=run_id, guard=guard)
