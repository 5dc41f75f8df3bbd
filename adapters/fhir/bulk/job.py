"""The cursor of a source with bulk exports, with the export in progress. Pure.

It is committed with every step. So the next run continues from it: it polls the same status URL, skips the stored files, and deletes the
finished export.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from adapters.fhir.dates import instant


@dataclass(frozen=True, slots=True)
class PendingExport:
    """One export. ``status``: its status URL. ``since``: its ``_since``. ``asked``: when it was requested, by our clock.

    ``begun``: no later than when the server accepted it, by both clocks; the next ``_since`` is not later than that. ``done``: how many
    files of the list with the digest ``files`` are stored. ``left_out``: the export has gaps, so the next one must start at the same time.
    ``poll_at``: when to poll next. ``joined``: the export is only of members who joined the group since its last export
    (``group_members.packed``).
    """

    status: str
    asked: str
    since: str = ""
    full: bool = False
    files: str = ""
    done: int = 0
    left_out: bool = False
    poll_at: str = ""
    joined: str = ""
    begun: str = ""

    @property
    def asked_at(self) -> datetime | None:
        return instant(self.asked)

    @property
    def poll_again_at(self) -> datetime | None:
        return instant(self.poll_at)


@dataclass(frozen=True, slots=True)
class BulkState:
    """The cursor. ``since``: everything that changed before it is stored. ``lost``: how many exports in a row failed.

    ``ended``: the status URL of an export that is stored and still has to be deleted at the server.
    """

    since: str = ""
    job: PendingExport | None = None
    ended: str = ""
    lost: int = 0

    def text(self) -> str:
        """The text of the cursor."""
        return msgspec.json.encode({"export": asdict(self)}).decode()

    def finished(self, transaction_time: str) -> BulkState:
        """The state after the whole export is stored. An unreadable time, or an export with gaps, does not move ``since``.

        Some servers set transactionTime to the end of the job, or to a future time: changes during the job would then be lost. So it
        counts only up to the time of our own request.
        """
        if self.job is None:
            return self
        server_time, begun = instant(transaction_time), instant(self.job.begun) or self.job.asked_at
        moves = not self.job.joined and not self.job.left_out and server_time is not None
        reached = begun.isoformat() if server_time and begun and begun < server_time else transaction_time
        return BulkState(reached if moves else self.since, None, self.job.status)

    def without_job(self) -> BulkState:
        """The state after the export was lost. Its status URL is deleted too, in case it still exists."""
        return BulkState(self.since, None, self.job.status if self.job else self.ended, self.lost + 1)

    def with_job(self, **changes: Any) -> BulkState:
        """The same with changed fields of the job."""
        return replace(self, job=replace(self.job, **changes)) if self.job else self


def read(cursor: str | None) -> BulkState:
    """The state in a cursor. A cursor of another kind of source means that nothing was exported yet."""
    try:
        kept = msgspec.json.decode(cursor or "")["export"]
        job = PendingExport(**kept["job"]) if kept["job"] else None
        return BulkState(str(kept["since"]), job, str(kept["ended"]), int(kept["lost"]))
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
        return BulkState()
