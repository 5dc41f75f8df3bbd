"""How many patients one source may make more contactable before a person is asked (product section 8). Pure."""

from __future__ import annotations

import math
from datetime import timedelta

from sync.config.settings import SafeguardRule

WINDOW = timedelta(hours=1)
"""A live feed has no end: it is counted over a rolling hour."""

HELD = "held by the safeguard: {patients} patients would become more contactable; see emr-sync runs show {run}"


def limit(safeguard: SafeguardRule, synced: int) -> int:
    """The most patients that may be loosened without a person: of ``synced`` patients of the source."""
    return max(safeguard.floor, math.floor(synced * safeguard.percent / 100))


def releases(safeguard: SafeguardRule, *, synced: int, loosened: int, waiting: int) -> bool:
    """Whether what a run would loosen takes effect at its end.

    What already waits for a decision counts with it: many runs must not do in portions what one may not do at once.
    """
    return loosened + waiting <= limit(safeguard, synced)


def room(safeguard: SafeguardRule, *, synced: int, lately: int, waiting: int) -> int:
    """How many further patients a live feed may loosen now. None while something of its source waits for a decision."""
    return 0 if waiting else max(0, limit(safeguard, synced) - lately)
