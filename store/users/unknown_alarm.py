"""When a key asks about too many patients whom nobody here knows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Alarm:
    """More than ``floor`` unknown patients within the window, and at least ``percent`` of those asked about."""

    floor: int = 200
    percent: float = 20.0
    within: timedelta = timedelta(minutes=10)

    def rings(self, asked: int, unknown: int) -> bool:
        """Whether that is too many."""
        return unknown > self.floor and unknown * 100 >= asked * self.percent
