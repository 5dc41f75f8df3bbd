"""Replays rejected payloads, for example after the mapping was fixed, or previews the changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from adapters.base import IngestResult, Mapper, Payload, in_groups
from store.audit.audit_log import REPLAYED, Audit
from store.preference import PatientStatements, RecordOutcome
from store.runs.runs import Rejected, Rejection, RejectionStatus
from sync.dry_run import DryRun, try_apply
from sync.engine import Engine
from sync.intake import Piece, problems, read, rejected, summary
from sync.run import Lane


@dataclass(slots=True)
class ReplayPreview(DryRun):
    """What a replay would change. ``statuses``: how many of the rejections would then be resolved, and how many open."""

    statuses: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON."""
        return DryRun.as_dict(self) | {str(status): self.statuses[status] for status in RejectionStatus}


def replay(engine: Engine, lane: Lane, mapper: Mapper, rejection: Rejection, actor: str = "") -> IngestResult:
    """Maps and applies the payload again, for ``actor``. The rejection is resolved unless the same part is rejected again.

    The payload keeps its original time: a newer statement that was received in between stays in force.
    """
    engine.preferences.reads_by(lane.source, mapper)
    pieces = _pieces(mapper, rejection)
    now = engine.clock()
    with engine.database.write(lane.enterprise) as transaction:
        answers = engine.intake.applied(transaction, lane, pieces, now, rejection.run_id, {})
        rows = [row for piece, answer in zip(pieces, answers, strict=True) for row in rejected(piece, answer)]
        named = {"source": lane.source, "enterprise": lane.enterprise}
        engine.journal.reject(transaction, rows, **named, run_id=rejection.run_id, now=now, replayed=rejection)
        same = [row for row in rows if _is_same(row, rejection)]
        answer = summary(answers)
        if same:  # the rejected part still cannot be used, whatever the result of the rest
            answer = IngestResult(RecordOutcome.REJECTED, same[0].reason, same[0].detail)
        else:
            engine.journal.resolve(transaction, rejection.id)
        detail = {"outcome": answer.outcome, "reason": answer.reason}
        Audit(engine.database).changed(transaction, lane.enterprise, REPLAYED, rejection.id, actor=actor, now=now, **detail)
    return answer


def preview(engine: Engine, lane: Lane, mapper: Mapper, rejections: Iterable[Rejection], result: ReplayPreview) -> None:
    """Adds what replaying these rejections of one source together would change to the result. Nothing is changed."""
    stays: dict[str, bool] = {}
    pairs = ((rejection, piece) for rejection in rejections for piece in _pieces(mapper, rejection))
    for group in in_groups(pairs, engine.batch_size, engine.batch_bytes, lambda pair: len(pair[1].payload)):
        answers = try_apply(engine, lane, [piece for _, piece in group], result)
        for (rejection, piece), answer in zip(group, answers, strict=True):
            is_again = any(_is_same(row, rejection) for row in rejected(piece, answer))
            stays[rejection.id] = stays.get(rejection.id, False) or is_again
    result.statuses.update(RejectionStatus.OPEN if one else RejectionStatus.RESOLVED for one in stays.values())


def _is_same(row: Rejected, rejection: Rejection) -> bool:
    """Whether the part that was rejected then is rejected again."""
    return (row.reason, row.path, row.scope) == (rejection.reason, rejection.path, rejection.scope)


def _pieces(mapper: Mapper, rejection: Rejection) -> list[Piece]:
    """The payload's pieces, those with problems last, so that no other piece clears what could not be read in them."""
    pieces = read(mapper, Payload(rejection.payload, rejection.locator, rejection.first_at))
    return sorted((_with_receipt(piece, rejection.first_at) for piece in pieces), key=lambda piece: bool(problems(piece)))


def _with_receipt(piece: Piece, received: datetime) -> Piece:
    item = piece.item
    return piece._replace(item=replace(item, received=received)) if isinstance(item, PatientStatements) else piece
