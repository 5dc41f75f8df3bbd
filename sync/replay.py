"""Tries a rejected payload again, after the mapping was mended or the EMR's data repaired."""

from __future__ import annotations

from adapters.base import Answer, Mapper, Payload
from store.journal import Rejection
from sync.engine import Engine, Lane
from sync.piece import read, rejected, summary


def replay(engine: Engine, lane: Lane, mapper: Mapper, rejection: Rejection) -> Answer:
    """Maps and applies the payload anew. The rejection is resolved when nothing of it is wrong any more.

    What it says is as old as it was: a newer statement that came in between stays in force.
    """
    payload = Payload(rejection.payload, rejection.locator, rejection.first_at)
    pieces = read(mapper, payload)
    now = engine.clock()
    with engine.database.write(lane.enterprise) as transaction:
        answers = engine.applied(transaction, lane, pieces, now, rejection.run_id, {})
        rows = [row for piece, answer in zip(pieces, answers, strict=True) for row in rejected(piece, answer)]
        engine.journal.reject(transaction, rows, source=lane.source, enterprise=lane.enterprise, run_id=rejection.run_id, now=now)
        same = any((row.reason, row.path, row.scope) == (rejection.reason, rejection.path, rejection.scope) for row in rows)
        if not same:
            engine.journal.resolve(transaction, rejection.id, now=now)
    return summary(answers)
