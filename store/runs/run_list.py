"""The runs of an enterprise over all sources, filtered by source, state and time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from store.db.database import Database
from store.runs.runs import RUN_FIELDS, Run, RunStatus, run_of

NEWEST = f"SELECT {RUN_FIELDS} FROM runs WHERE enterprise = ? AND status = ?{{}} ORDER BY started DESC, id DESC LIMIT ?"
"""Each status is read by itself, so that every combination of conditions can use an index."""


@dataclass(frozen=True, slots=True)
class WantedRuns:
    """Which runs; ``None`` means any. ``since`` is the earliest start, and ``before`` that of the last run already seen."""

    source: str | None = None
    status: RunStatus | None = None
    since: datetime | None = None
    before: datetime | None = None


def some_runs(database: Database, enterprise: str, wanted: WantedRuns, limit: int) -> list[Run]:
    """Runs of all sources, the newest first."""
    conditions, parameters = "", []
    if wanted.source is not None:
        conditions, parameters = " AND source = ?", [wanted.source]
    for operator, moment in ((">=", wanted.since), ("<", wanted.before)):
        if moment is not None:
            conditions, parameters = f"{conditions} AND started {operator} ?", [*parameters, database.bound(moment)]
    sql, statuses = NEWEST.format(conditions), [wanted.status] if wanted.status else [*RunStatus]
    with database.read() as connection:
        rows = [row for status in statuses for row in database.select(connection, sql, [enterprise, status, *parameters, limit])]
    return sorted(map(run_of, rows), key=lambda run: (run.started, run.id), reverse=True)[:limit]
