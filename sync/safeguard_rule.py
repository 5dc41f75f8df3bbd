"""How many patients one source may make more contactable before a person is asked (product section 8). Pure."""

from __future__ import annotations

import math
from datetime import timedelta

from sync.config.settings import Brake

WINDOW = timedelta(hours=1)
"""A live feed has no end: it is counted over a rolling hour."""

HELD = "held by the brake: {patients} patients would become more contactable; see emr-sync runs show {run}"


def limit(brake: Brake, synced: int) -> int:
    """The most patients that may be loosened without a person: of ``synced`` patients of the source."""
    return max(brake.floor, math.floor(synced * brake.percent / 100))


def releases(brake: Brake, *, synced: int, loosened: int, waiting: int) -> bool:
    """Whether what a run would loosen takes effect at its end.

    What already waits for a decision counts with it: many runs must not do in portions what one may not do at once.
    """
    return loosened + waiting <= limit(brake, synced)


def room(brake: Brake, *, synced: int, lately: int, waiting: int) -> int:
    """How many further patients a live feed may loosen now. None while something of its source waits for a decision."""
    return 0 if waiting else max(0, limit(brake, synced) - lately)
