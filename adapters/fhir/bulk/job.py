"""Where a source with bulk exports stands: the cursor, and in it the export under way. Pure.

It is committed with every step, so that whoever comes next goes on from it: polls the same status address, leaves out the files
that are stored, deletes what is done with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from adapters.fhir.dates import instant


@dataclass(frozen=True, slots=True)
class PendingExport:
    """One export. ``status`` is its address at the server; ``since`` is what it was asked for; ``asked`` when, by our clock.

    ``begun``: no later than when the server took it, by both clocks; the next export asks for nothing later than that.
    ``done`` files of the list whose digest is ``files`` are stored. ``left_out``: the server could not give everything, so the next
    export must reach back as far as this one. ``poll_at`` is when the server wants to be asked again. ``joined``: only those were asked
    for who joined the group since its last export (``group.packed``).
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
    """``since``: all that changed before it came with the last export that left nothing out. ``lost`` exports in a row came to nothing.

    ``ended`` is the status address of an export that is stored and still has to be deleted at the server.
    """

    since: str = ""
    job: PendingExport | None = None
    ended: str = ""
    lost: int = 0

    def text(self) -> str:
        """As it is kept in the cursor."""
        return msgspec.json.encode({"export": asdict(self)}).decode()

    def finished(self, transaction_time: str) -> BulkState:
        """After everything of the job is stored. A time that cannot be read, or an export with gaps, does not move ``since``.

        Some servers write the end of the job as its transactionTime, or a time that is still to come: what changed while the job
        ran would be left out. So the time counts only as far as our own question.
        """
        if self.job is None:
            return self
        stated_time, begun = instant(transaction_time), instant(self.job.begun) or self.job.asked_at
        moves = not self.job.joined and not self.job.left_out and stated_time is not None
        reached = begun.isoformat() if stated_time and begun and begun < stated_time else transaction_time
        return BulkState(reached if moves else self.since, None, self.job.status)

    def without_job(self) -> BulkState:
        """After the job was lost: its address goes to be deleted too, in case it is still there."""
        return BulkState(self.since, None, self.job.status if self.job else self.ended, self.lost + 1)

    def with_job(self, **changes: Any) -> BulkState:
        """The same with a job that has gone on."""
        return replace(self, job=replace(self.job, **changes)) if self.job else self


def read(cursor: str | None) -> BulkState:
    """The state of a cursor; one of another kind of source means: nothing was exported yet."""
    try:
        kept = msgspec.json.decode(cursor or "")["export"]
        job = PendingExport(**kept["job"]) if kept["job"] else None
        return BulkState(str(kept["since"]), job, str(kept["ended"]), int(kept["lost"]))
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
        return BulkState()
