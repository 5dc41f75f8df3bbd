"""Hourly limits per source on what is kept of rejected payloads, so that nobody outside can fill the disk. Pure.

There are two kinds, each with its own limit, so that garbage never displaces a patient's message. *Nameless* payloads, whose patient
cannot be told, are only counted beyond the limit. All others always keep their row; beyond the limit only the payload is left out. A
person can still see whose message it was, and its sender is told to keep it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

TRUNCATED = "rejections_truncated"
"""The reason of the one row per hour that records how much was left out."""


class Room(NamedTuple):
    """The limits per source and hour: rows of nameless payloads, and bytes of payloads of each kind."""

    rows: int = 1000
    size: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Used:
    """What one source has used in an hour. ``left_out`` rejections were only counted; ``bare`` ones are kept without their payload."""

    hour: datetime
    nameless: int = 0
    nameless_bytes: int = 0
    named_bytes: int = 0
    left_out: int = 0
    bare: int = 0

    def detail(self) -> str:
        """The text of the hour's row, for people."""
        texts = [f"{self.left_out} more without a patient were not stored"] if self.left_out else []
        texts += [f"the payloads of {self.bare} with a patient were not stored"] if self.bare else []
        return f"{' and '.join(texts)} in this hour (rejections.rows_per_hour, rejections.bytes_per_hour): check what the source sends"


KEEP, BARE, LEAVE_OUT = "keep", "bare", "leave_out"


def admitted(used: Used, room: Room, size: int, *, nameless: bool) -> tuple[str, Used]:
    """What to do with another rejection of that size in bytes, and what is used afterwards."""
    if not nameless:
        if used.named_bytes + size <= room.size:
            return KEEP, replace(used, named_bytes=used.named_bytes + size)
        return BARE, replace(used, bare=used.bare + 1)
    if used.nameless < room.rows and used.nameless_bytes + size <= room.size:
        return KEEP, replace(used, nameless=used.nameless + 1, nameless_bytes=used.nameless_bytes + size)
    return LEAVE_OUT, replace(used, left_out=used.left_out + 1)


def hour_of(now: datetime) -> datetime:
    """The start of the hour, in UTC."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
