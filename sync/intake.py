"""Intake: writes a group of records in one transaction, with rejections, counts, cursor and the time of receipt.

All of it is committed, or nothing. If an item makes that impossible, the group is halved until only that item is rejected. The functions
that build results and rejections from a record are pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from adapters.base import AdapterError, Filtered, IngestResult, Item, Mapper, Payload, Unmappable, in_groups
from adapters.files.loading import DETAILS as ROW_REASONS
from adapters.mapping.evidence import message_name
from store.db import clock_skew
from store.db.database import Database
from store.errors import NotRepeated
from store.patients.apply import Outcome
from store.patients.gating import Guard
from store.patients.preferences import Preferences
from store.preference import PatientMerge, PatientStatements, Problem, RecordOutcome, base
from store.runs.runs import Journal, Rejected
from store.runs.source_stats import Arrivals
from sync import logs, retry
from sync.mapped import items
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
"""Counted besides the outcomes: attributes whose newest evidence could not be determined."""

NONSENSE = frozenset({"not_hl7", "not_json", "not_fhir", "not_a_record", *ROW_REASONS})
"""Reasons of payloads that are not a message or record at all, and of rows of a file that are none."""

NOT_KEPT = "part of the message was rejected, and the hourly limit for rejections is reached; keep the message and send it again later"

NOTHING_TO_READ = IngestResult(RecordOutcome.FILTERED, "nothing_to_read")


class Piece(NamedTuple):
    """One item and the bytes it came from. ``read``: reads them, if the item was only recognized (``sync.recognition``)."""

    item: Item
    payload: bytes = b""
    read: Callable[[], list[Piece]] | None = None


def read(mapper: Mapper, payload: Payload) -> list[Piece]:
    """Maps a payload."""
    return pieces_of(payload, items(mapper, payload))


def pieces_of(payload: Payload, items: Iterable[Item]) -> list[Piece]:
    """The pieces of a payload with these items: at least one."""
    return [Piece(item, payload.body) for item in items] or [Piece(Filtered(NOTHING_TO_READ.reason, payload.locator))]


def read_after_all(pieces: Iterable[Piece], items: Iterable[object]) -> Iterator[Piece]:
    """The pieces, with those of some items read that were only recognized."""
    wanted = {id(item) for item in items}
    for piece in pieces:
        yield from [piece] if piece.read is None or id(piece.item) not in wanted else piece.read()


def decided_alone(item: Item) -> IngestResult | None:
    """The result of an item that the store does not need to see: filtered or unmappable. Otherwise ``None``."""
    if isinstance(item, Filtered):
        return IngestResult(RecordOutcome.FILTERED, item.reason)
    return IngestResult(RecordOutcome.REJECTED, item.reason, item.detail) if isinstance(item, Unmappable) else None


def rejected(piece: Piece, answer: IngestResult, *, answered: bool = False) -> Iterator[Rejected]:
    """The rejections of one piece: the record if it was rejected, otherwise the parts of it that could not be used.

    ``answered``: its sender is told that it was rejected. Then, or if it is garbage, a record without a patient may be left out when too
    many arrive.
    """
    item, patient = piece.item, answer.patient_id
    payload = (item.payload if isinstance(item, Unmappable) else b"") or piece.payload
    if answer.outcome == RecordOutcome.REJECTED:
        path = item.path if isinstance(item, Unmappable) else ""
        nameless = isinstance(item, Unmappable) and (answered or item.reason in NONSENSE)
        named = (item.locator, payload, "record", _evidence_id(item, payload))
        yield Rejected(answer.reason, answer.detail, path, *named, nameless, patient_id=patient)
    for problem in problems(piece) if answer.outcome != RecordOutcome.REJECTED else ():
        named = (item.locator, payload, "field", _evidence_id(item, payload))
        yield Rejected(problem.reason, problem.detail, problem.path, *named, attribute=base(problem.attribute), patient_id=patient)


def _evidence_id(item: Item, payload: bytes) -> str:
    return item.evidence_id if isinstance(item, PatientStatements | PatientMerge) else message_name(payload)


def problems(piece: Piece) -> tuple[Problem, ...]:
    """The parts of a record that could not be used."""
    return piece.item.problems if isinstance(piece.item, PatientStatements) else ()


def summary(answers: Sequence[IngestResult]) -> IngestResult:
    """The result of a payload with several records: the worst outcome, with the problems of all."""
    worst = min(answers, key=lambda answer: WORST_FIRST.index(answer.outcome), default=NOTHING_TO_READ)
    return worst if len(answers) < 2 else worst._replace(problems=tuple(problem for answer in answers for problem in answer.problems))


def not_kept(answer: IngestResult) -> IngestResult:
    """The result when a part was rejected and is not kept here either. It asks the sender to keep the message."""
    first = answer.problems[0].reason if answer.problems else answer.reason
    return answer._replace(outcome=RecordOutcome.REJECTED, reason=first, detail=NOT_KEPT)


def grouped(pieces: Iterable[Piece], size: int, size_bytes: int) -> Iterator[list[Piece]]:
    """Groups of at most ``size`` pieces and ``size_bytes`` of payloads. A larger piece is a group of its own."""
    return in_groups(pieces, size, size_bytes, lambda piece: len(piece.payload))


def not_storable(error: Exception) -> str:
    """The detail of a record that the database cannot store."""
    return f"the database cannot store it ({type(error).__name__}); look for control characters or out-of-range numbers"


def records(counts: Mapping[str, int]) -> int:
    """The number of records counted so far."""
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

    def commit(
        self, lane: Lane, pieces: Sequence[Piece], tally: Tally | None, cursor: str | None, *, partial: bool = False
    ) -> list[IngestResult]:
        """Commits the pieces and returns the result of each, in order. Raises if nothing could be committed. A live feed has no tally.

        ``partial``: the pieces do not show that everything before them was received, as in a partial run.
        """
        partial = partial or (tally is not None and tally.partial)
        try:
            return self._transact(lane, pieces, tally, cursor, {}, partial)
        except NotRepeated as error:
            return self.commit(lane, list(read_after_all(pieces, error.payloads)), tally, cursor, partial=partial)
        except Exception as error:
            if retry.passes(error) or not pieces:
                raise
            if len(pieces) == 1:
                self._count_set_aside(lane, error)
                self.log.error("record not storable", source=lane.source, locator=pieces[0].item.locator, error=logs.place(error))
                refused = IngestResult(RecordOutcome.REJECTED, "not_storable", not_storable(error))
                return self._transact(lane, pieces, tally, cursor, {0: refused}, partial)
        middle = len(pieces) // 2
        first = self.commit(lane, pieces[:middle], tally, None, partial=partial)
        return first + self.commit(lane, pieces[middle:], tally, cursor, partial=partial)

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
        """Applies the pieces and returns the result of each, in order. ``decided``: results of positions that must not be tried.

        Without a guard the safeguard treats the pieces like those of a live feed.
        """
        guard = guard or self.safeguard.guard(transaction, lane, None, now)
        answers = [decided.get(position) or decided_alone(piece.item) for position, piece in enumerate(pieces)]
        undecided_positions = [position for position, answer in enumerate(answers) if answer is None]
        items = [item for position in undecided_positions if isinstance(item := pieces[position].item, PatientStatements | PatientMerge)]
        outcomes = self._apply(transaction, lane, items, now, run_id, guard) if items else []
        for position, outcome in zip(undecided_positions, outcomes, strict=True):
            result = (outcome.outcome, outcome.reason, outcome.detail)
            answers[position] = IngestResult(*result, problems(pieces[position]), outcome.undecided, outcome.patient_id)
        return [answer for answer in answers if answer is not None]

    def _transact(
        self,
        lane: Lane,
        pieces: Sequence[Piece],
        tally: Tally | None,
        cursor: str | None,
        decided: Mapping[int, IngestResult],
        partial: bool,
    ) -> list[IngestResult]:
        now, run_id = self.clock(), tally.run.id if tally else None
        with self.database.write(lane.enterprise) as transaction:
            if self.database.skew:
                clock_skew.check(self.database.skew)
            guard = self.safeguard.guard(transaction, lane, tally, now)
            answers = self.applied(transaction, lane, pieces, now, run_id, decided, guard)
            left_out, bare = self._reject(transaction, lane, pieces, answers, run_id, now)
            counts = Counter(answer.outcome for answer in answers)
            self.arrivals.count(transaction, lane.source, lane.enterprise, counts, now=now)
            undecided = Counter({UNDECIDED: sum(answer.undecided for answer in answers)})
            if tally is not None:
                so_far = tally.counts + counts + undecided
                self.journal.progress(transaction, tally.run, so_far, None if partial else cursor, now=now)
            if not partial:
                self.journal.mark_received(transaction, lane.source, lane.enterprise, now=now)
        if tally is not None:
            tally.counts += counts + undecided
        if not STORED.isdisjoint(counts):
            self.set_aside.pop(lane.source, None)
        for outcome, number in counts.items():
            self.metrics.records.add(lane.source, outcome, number=number)
        self.metrics.undecided.add(lane.source, number=undecided[UNDECIDED])
        self.metrics.left_out.add(lane.source, number=left_out + len(bare))
        return [not_kept(answer) if position in bare and tally is None else answer for position, answer in enumerate(answers)]

    def _reject(
        self, transaction: Any, lane: Lane, pieces: Sequence[Piece], answers: Sequence[IngestResult], run_id: str | None, now: datetime
    ) -> tuple[int, frozenset[int]]:
        """Stores rejections. Returns how many were left out, and the positions of pieces whose payload was not kept."""
        rows_by_position = [
            (position, row)
            for position, (piece, answer) in enumerate(zip(pieces, answers, strict=True))
            if answer.outcome == RecordOutcome.REJECTED or problems(piece)
            for row in rejected(piece, answer, answered=run_id is None)
        ]
        if not rows_by_position:
            return 0, frozenset()
        rows = [row for _, row in rows_by_position]
        kept = self.journal.reject(transaction, rows, source=lane.source, enterprise=lane.enterprise, run_id=run_id, now=now)
        return kept.left_out, frozenset(rows_by_position[row][0] for row in kept.bare)

    def _count_set_aside(self, lane: Lane, error: Exception) -> None:
        """Counts records that could not be stored. Too many in a row mean a fault of the program or the database: then it raises."""
        self.set_aside[lane.source] += 1
        if self.set_aside[lane.source] > MOST_SET_ASIDE:
            raise AdapterError(
                f"more than {MOST_SET_ASIDE} records in a row could not be stored ({logs.place(error)}); please report this line",
                permanent=True,
            ) from error

    def _apply(self, transaction: Any, lane: Lane, items: Sequence[Any], now: datetime, run_id: str | None, guard: Guard) -> list[Outcome]:
        return self.preferences.apply_many(transaction, lane.enterprise, lane.source, items, now=now, run_id=run_id, guard=guard)
