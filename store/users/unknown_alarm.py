"""The alarm for API keys that ask about too many unknown patients. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Alarm:
    """Rings for more than ``floor`` unknown patients within the window, if they are at least ``percent`` of those asked about."""

    floor: int = 200
    percent: float = 20.0
    within: timedelta = timedelta(minutes=10)

    def rings(self, asked: int, unknown: int) -> bool:
        """Whether this many unknown patients among those asked about are too many."""
        return unknown > self.floor and unknown * 100 >= asked * self.percent
