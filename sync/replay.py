"""Replays rejected payloads, for example after the mapping was fixed, or previews the changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from adapters.base import IngestResult, Mapper, Payload
from store.audit.audit_log import REPLAYED, Audit
from store.preference import PatientStatements, RecordOutcome
from store.runs.runs import Rejection
from sync.dry_run import DryRun, try_apply
from sync.engine import Engine
from sync.intake import Piece, grouped, problems, read, rejected, summary
from sync.run import Lane


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
        same = [row for row in rows if (row.reason, row.path, row.scope) == (rejection.reason, rejection.path, rejection.scope)]
        answer = summary(answers)
        if same:  # the rejected part still cannot be used, whatever the result of the rest
            answer = IngestResult(RecordOutcome.REJECTED, same[0].reason, same[0].detail)
        else:
            engine.journal.resolve(transaction, rejection.id)
        detail = {"outcome": answer.outcome, "reason": answer.reason}
        Audit(engine.database).changed(transaction, lane.enterprise, REPLAYED, rejection.id, actor=actor, now=now, **detail)
    return answer


def preview(engine: Engine, lane: Lane, mapper: Mapper, rejections: Iterable[Rejection], result: DryRun) -> None:
    """Adds what replaying these rejections of one source together would change to the result. Nothing is changed."""
    pieces = (piece for rejection in rejections for piece in _pieces(mapper, rejection))
    for group in grouped(pieces, engine.batch_size, engine.batch_bytes):
        try_apply(engine, lane, group, result)


def _pieces(mapper: Mapper, rejection: Rejection) -> list[Piece]:
    """The payload's pieces, those with problems last, so that no other piece clears what could not be read in them."""
    pieces = read(mapper, Payload(rejection.payload, rejection.locator, rejection.first_at))
    return sorted((_with_receipt(piece, rejection.first_at) for piece in pieces), key=lambda piece: bool(problems(piece)))


def _with_receipt(piece: Piece, received: datetime) -> Piece:
    item = piece.item
    return piece._replace(item=replace(item, received=received)) if isinstance(item, PatientStatements) else piece
