"""Sources whose last run failed. From the journal, so that any process reports the runs of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from store.db.database import Database
from store.domain.documents import instant
from store.runs.runs import RunKind, RunStatus

READING = (RunKind.INCREMENTAL, RunKind.FULL, RunKind.RESYNC)
"""The kinds of runs that ask the EMR."""
LAST = f"""
SELECT enterprise, source, id, finished, status FROM runs
WHERE source = ? AND kind IN ({", ".join(f"'{kind}'" for kind in READING)}) AND finished IS NOT NULL
ORDER BY started DESC, id DESC LIMIT 1
"""


class FailedRun(Struct, frozen=True):
    """The last run of a source, which failed, and when it ended. ``emr-sync runs show RUN`` says why."""

    enterprise: str
    source: str
    run: str
    ended: datetime


def last_runs(database: Database, sources: Iterable[str]) -> dict[str, FailedRun | None]:
    """Source -> its last run if that failed, else ``None``. A run in progress does not count; sources without runs are missing."""
    with database.read() as connection:
        rows = [row for source in sources for row in database.select(connection, LAST, [source])]
    return {row[1]: FailedRun(row[0], row[1], row[2], instant(row[3])) if row[4] == RunStatus.FAILED else None for row in rows}
