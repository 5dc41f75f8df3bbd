"""One group of records into the store, in one transaction: statements, rejections, counts, cursor and the time data was received.

All of them are committed, or none. If an item makes that impossible, the group is halved until only that item is rejected.

Also, pure: one record in process, with the bytes it came from, and what is kept of a rejected one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from adapters.base import AdapterError, Batch, Filtered, IngestResult, Item, Mapper, Payload, Unmappable
from adapters.mapping.evidence import named
from store.db import clock_skew
from store.db.database import Database
from store.patients.apply import Outcome
from store.patients.gating import Guard
from store.patients.preferences import Preferences
from store.preference import PatientMerge, PatientStatements, Problem, RecordOutcome
from store.runs.runs import Journal, Rejected
from store.runs.source_stats import Arrivals
from sync import logs, retry
from sync.metrics import Metrics
from sync.run import Lane, Tally
from sync.safeguard import Safeguard

WORST_FIRST = (
    RecordOutcome.REJECTED,
    RecordOutcome.HELD,
    RecordOutcome.MERGED,
    RecordOutcome.APPLIED,
    RecordOutcome.UNCHANGED,
    RecordOutcome.STALE,
    RecordOutcome.FILTERED,
)
UNDECIDED = "undecided"
"""Counted beside the outcomes: attributes of which nobody could tell which evidence is newer."""

NONSENSE = frozenset({"not_hl7", "not_json", "not_fhir", "not_a_record"})
"""Reasons of payloads that are no message and no record at all."""

NOT_KEPT = "part of the message was rejected, and the hourly limit for rejections is reached; keep the message and send it again later"

NOTHING = IngestResult(RecordOutcome.FILTERED, "nothing_to_read")


class Piece(NamedTuple):
    """One item and the bytes it came from."""

    item: Item
    payload: bytes = b""


def read(mapper: Mapper, payload: Payload) -> list[Piece]:
    """What a payload says. A mapper does not raise; should it, that payload is set aside and the others go on."""
    try:
        items = mapper.read(payload)
    except Exception as error:
        items = [Unmappable("mapper_failed", f"mapping error ({type(error).__name__}); please report this", payload.locator)]
    return [Piece(item, payload.body) for item in items] or [Piece(Filtered(NOTHING.reason, payload.locator))]


def pieces(batch: Batch) -> list[Piece]:
    """The items of a batch with the bytes that they came from."""
    return [Piece(item, payload) for item, payload in zip(batch.items, batch.payloads or [b""] * len(batch.items), strict=True)]


def decided_alone(item: Item) -> IngestResult | None:
    if isinstance(item, Filtered):
        return IngestResult(RecordOutcome.FILTERED, item.reason)
    return IngestResult(RecordOutcome.REJECTED, item.reason, item.detail) if isinstance(item, Unmappable) else None


def rejected(piece: Piece, answer: IngestResult, *, answered: bool = False) -> Iterator[Rejected]:
    """The rows to keep of one piece: the record, when it was rejected, else the parts of it that could not be used.

    ``answered``: its sender is told that it was rejected. Then, or where it is plain nonsense, a record of nobody may be left out when
    too many come.
    """
    item = piece.item
    payload = (item.payload if isinstance(item, Unmappable) else b"") or piece.payload
    if answer.outcome == RecordOutcome.REJECTED:
        path = item.path if isinstance(item, Unmappable) else ""
        nameless = isinstance(item, Unmappable) and (answered or item.reason in NONSENSE)
        yield Rejected(answer.reason, answer.detail, path, item.locator, payload, "record", _called(item, payload), nameless)
    for problem in problems(piece) if answer.outcome != RecordOutcome.REJECTED else ():
        yield Rejected(problem.reason, problem.detail, problem.path, item.locator, payload, "field", _called(item, payload))


def _called(item: Item, payload: bytes) -> str:
    return item.evidence_id if isinstance(item, PatientStatements | PatientMerge) else named(payload)


def problems(piece: Piece) -> tuple[Problem, ...]:
    """The parts of a record that could not be used."""
    return piece.item.problems if isinstance(piece.item, PatientStatements) else ()


def summary(answers: Sequence[IngestResult]) -> IngestResult:
    """The answer to a payload that held several records: what the sender most needs to hear, and the problems of all."""
    worst = min(answers, key=lambda answer: WORST_FIRST.index(answer.outcome), default=NOTHING)
    return worst if len(answers) < 2 else worst._replace(problems=tuple(problem for answer in answers for problem in answer.problems))


def not_kept(answer: IngestResult) -> IngestResult:
    """What the sender is told where a part could not be used and is not kept here either: that it shall keep the message."""
    first = answer.problems[0].reason if answer.problems else answer.reason
    return answer._replace(outcome=RecordOutcome.REJECTED, reason=first, detail=NOT_KEPT)


def grouped(pieces: Iterable[Piece], size: int, size_bytes: int) -> Iterator[list[Piece]]:
    """Groups of at most ``size`` pieces and, but for one alone that is larger, ``size_bytes`` of payloads."""
    group: list[Piece] = []
    room = size_bytes
    for piece in pieces:
        if group and (len(group) == size or len(piece.payload) > room):
            yield group
            group, room = [], size_bytes
        group.append(piece)
        room -= len(piece.payload)
    if group:
        yield group


def not_storable(error: Exception) -> str:
    return f"the database cannot store it ({type(error).__name__}); look for control characters or out-of-range numbers"


def records(counts: Mapping[str, int]) -> int:
    """How many records a run has counted so far."""
    return sum(counts.get(outcome, 0) for outcome in RecordOutcome)


STORED = frozenset(RecordOutcome) - {RecordOutcome.FILTERED, RecordOutcome.REJECTED}
MOST_SET_ASIDE = 20


@dataclass(slots=True)
class Intake:
    """Commits groups of records. Thread-safe; one per engine."""

    database: Database
    preferences: Preferences
    journal: Journal
    clock: Callable[[], datetime]
    metrics: Metrics
    safeguard: Safeguard
    log: Any
    set_aside: Counter[str] = field(default_factory=Counter)
    arrivals: Arrivals = field(init=False)

    def __post_init__(self) -> None:
        self.arrivals = Arrivals(self.database)

    def commit(self, lane: Lane, pieces: Sequence[Piece], tally: Tally | None, cursor: str | None) -> list[IngestResult]:
        """What became of each piece, in order, after the commit. Raises when nothing could be committed. No tally: a live feed."""
        try:
            return self._transact(lane, pieces, tally, cursor, {})
        except Exception as error:
            if retry.passes(error) or not pieces:
                raise
            if len(pieces) == 1:
                self._count_set_aside(lane, error)
                self.log.error("record not storable", source=lane.source, locator=pieces[0].item.locator, error=logs.place(error))
                refused = IngestResult(RecordOutcome.REJECTED, "not_storable", not_storable(error))
                return self._transact(lane, pieces, tally, cursor, {0: refused})
        middle = len(pieces) // 2
        return self.commit(lane, pieces[:middle], tally, None) + self.commit(lane, pieces[middle:], tally, cursor)

    def applied(
        self,
        transaction: Any,
        lane: Lane,
        pieces: Sequence[Piece],
        now: datetime,
        run_id: str | None,
        decided: Mapping[int, IngestResult],
        guard: Guard | None = None,
    ) -> list[IngestResult]:
        """What becomes of each piece, in its order. ``decided`` are the positions that are not to be tried.

        Without a guard the safeguard looks at the pieces as at a live feed's.
        """
        guard = guard or self.safeguard.guard(transaction, lane, None, now)
        answers = [decided.get(position) or decided_alone(piece.item) for position, piece in enumerate(pieces)]
        open_ones = [position for position, answer in enumerate(answers) if answer is None]
        items = [item for position in open_ones if isinstance(item := pieces[position].item, PatientStatements | PatientMerge)]
        outcomes = self._apply(transaction, lane, items, now, run_id, guard) if items else []
        for position, outcome in zip(open_ones, outcomes, strict=True):
            answers[position] = IngestResult(outcome.outcome, outcome.reason, outcome.detail, problems(pieces[position]), outcome.undecided)
        return [answer for answer in answers if answer is not None]

    def _transact(
        self, lane: Lane, pieces: Sequence[Piece], tally: Tally | None, cursor: str | None, decided: Mapping[int, IngestResult]
    ) -> list[IngestResult]:
        now, run_id = self.clock(), tally.run.id if tally else None
        with self.database.write(lane.enterprise) as transaction:
            clock_skew.check(self.database.skew)
            guard = self.safeguard.guard(transaction, lane, tally, now)
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
        self, transaction: Any, lane: Lane, pieces: Sequence[Piece], answers: Sequence[IngestResult], run_id: str | None, now: datetime
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
                f"more than {MOST_SET_ASIDE} records in a row could not be stored ({logs.place(error)}); please report this line",
                permanent=True,
            ) from error

    def _apply(self, transaction: Any, lane: Lane, items: Sequence[Any], now: datetime, run_id: str | None, guard: Guard) -> list[Outcome]:
        return self.preferences.apply_many(transaction, lane.enterprise, lane.source, items, now=now, run_id=run_id, guard=guard)
