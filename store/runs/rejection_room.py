"""How much of what could not be used is kept within an hour, by source, so that nobody outside fills the disk. Pure.

Two kinds have their room apart, so that nonsense never takes the place of a patient's message. What is *nameless*, about nobody that
could be told, is left out beyond its room, and counted. All else keeps its row whatever comes; beyond the room only its payload is
left out, so that a person still sees whose message it was, and whoever sent it is told to keep it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

TRUNCATED = "rejections_truncated"
"""The reason of the one row that tells how much of an hour was left out."""


class Room(NamedTuple):
    """Per source and hour: rows of what is nameless, and bytes of payloads, of either kind."""

    rows: int = 1000
    size: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Used:
    """What one source has used of an hour. ``left_out`` rows are only counted; ``bare`` ones have no payload."""

    hour: datetime
    nameless: int = 0
    nameless_bytes: int = 0
    named_bytes: int = 0
    left_out: int = 0
    bare: int = 0

    def told(self) -> str:
        """What the hour's row says to people."""
        texts = [f"{self.left_out} more without a patient were not stored"] if self.left_out else []
        texts += [f"the payloads of {self.bare} with a patient were not stored"] if self.bare else []
        return f"{' and '.join(texts)} in this hour (rejections.rows_per_hour, rejections.bytes_per_hour): check what the source sends"


KEEP, BARE, LEAVE_OUT = "keep", "bare", "leave_out"


def admitted(used: Used, room: Room, size: int, *, nameless: bool) -> tuple[str, Used]:
    """What to do with one more of so many bytes, and what is used after it."""
    if not nameless:
        if used.named_bytes + size <= room.size:
            return KEEP, replace(used, named_bytes=used.named_bytes + size)
        return BARE, replace(used, bare=used.bare + 1)
    if used.nameless < room.rows and used.nameless_bytes + size <= room.size:
        return KEEP, replace(used, nameless=used.nameless + 1, nameless_bytes=used.nameless_bytes + size)
    return LEAVE_OUT, replace(used, left_out=used.left_out + 1)


def hour_of(now: datetime) -> datetime:
    """The beginning of its hour, in UTC."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
