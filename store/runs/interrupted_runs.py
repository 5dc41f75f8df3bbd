"""Runs whose process died: when the next may begin, and whether the work was left undone."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile

from store.domain.documents import instant
from store.runs.runs import INTERRUPTED, Journal, RunStatus

LAST = "SELECT status, error, finished FROM runs WHERE source = ? AND status <> 'queued' ORDER BY started DESC, id DESC LIMIT ?"
SINCE = "SELECT status, error FROM runs WHERE source = ? AND kind = ? AND started >= ?"
COUNTED = 8
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)


def pause_after(deaths: int) -> timedelta:
    """How long to wait after this many deaths in a row. After one there is no wait: its machine may have failed."""
    return timedelta(0) if deaths < 2 else min(FIRST_PAUSE * 2 ** min(deaths - 2, COUNTED), LONGEST_PAUSE)


class InterruptedRuns:
    """Finds interrupted runs in the journal. Runs of processes that are gone are closed first."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.database = journal, journal.database

    def pause(self, source: str, enterprise: str, now: datetime) -> timedelta:
        """How long the source's next run must wait because the last ones died in a row, most likely of lack of memory."""
        with self.database.write(enterprise) as transaction:
            self.journal.close_abandoned(transaction, source, now)
            found = self.database.select(transaction, LAST, [source, COUNTED])
        deaths = list(takewhile(lambda one: one[:2] == (RunStatus.FAILED, INTERRUPTED), found))
        return max(instant(deaths[0][2]) + pause_after(len(deaths)) - now, timedelta(0)) if deaths else timedelta(0)

    def came_to_nothing(self, source: str, enterprise: str, kind: str, since: datetime, now: datetime) -> bool:
        """Whether every run of that kind since ``since`` was stopped or interrupted, or none was started."""
        with self.database.write(enterprise) as transaction:
            self.journal.close_abandoned(transaction, source, now)
            found = self.database.select(transaction, SINCE, [source, kind, self.database.bound(since)])
        return all(status == RunStatus.STOPPED or error == INTERRUPTED for status, error in found)
