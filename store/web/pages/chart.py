"""The chart of a source's records: one bar per hour, and a text summary. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from store.runs.source_stats import Hour

LEAST = 2  # of 100, so that an hour with one record is visible beside one with a million


class Bar(NamedTuple):
    """One hour: its records, and the heights (of 100) of the bars of all records and of rejected ones."""

    start: datetime
    records: int
    news: int
    rejected: int
    height: int
    rejected_height: int


class BarChart(NamedTuple):
    """The bars, oldest first. ``busy``: the hours with records, newest first."""

    bars: tuple[Bar, ...]
    total: int
    most: int
    rejected: int

    @property
    def busy(self) -> tuple[Bar, ...]:
        """The hours with records, newest first."""
        return tuple(bar for bar in reversed(self.bars) if bar.records)

    @property
    def summary(self) -> str:
        """The chart as text, for screen readers."""
        if not self.total:
            return f"No records in the last {len(self.bars)} hours."
        refused = f"; {self.rejected:,} could not be used" if self.rejected else ""
        return f"{self.total:,} records in the last {len(self.bars)} hours, peak {self.most:,} per hour{refused}."


def chart(hours: Sequence[Hour]) -> BarChart:
    """The chart of consecutive hours."""
    most = max((hour.records for hour in hours), default=0)
    bars = tuple(Bar(*hour, _height(hour.records, most), _height(hour.rejected, most)) for hour in hours)
    return BarChart(bars, sum(hour.records for hour in hours), most, sum(hour.rejected for hour in hours))


def _height(count: int, most: int) -> int:
    return max(LEAST, round(100 * count / most)) if count else 0
