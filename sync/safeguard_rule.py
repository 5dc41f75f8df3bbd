"""How many patients one source may make more contactable without a review (product section 8). Pure."""

from __future__ import annotations

import math
from datetime import timedelta

from sync.config.settings import SafeguardRule

WINDOW = timedelta(hours=1)
"""The rolling hour over which a live feed is counted, since it has no end."""

HELD = "held by the safeguard: {patients} patients would become more contactable; see emr-sync runs show {run}"
MISSING = "{missing} of {known} patients of the source are not in its list of all patients; nothing was changed for them"
REJECTED_BEFORE = "held by the safeguard: changes of {patients} patients that were rejected before came again; see emr-sync runs show {run}"


def limit(safeguard: SafeguardRule, synced: int) -> int:
    """The most patients that may become more contactable without a review, of ``synced`` patients of the source."""
    return max(safeguard.floor, math.floor(synced * safeguard.percent / 100))


def releases(safeguard: SafeguardRule, *, synced: int, patients: int, waiting: int, missing: int = 0) -> bool:
    """Whether the changes of a run that would make ``patients`` more contactable take effect at its end.

    Changes of the source that already await review count too: several runs must not do in portions what one run may not do. Content that
    a person rejected before is held whatever this says (``store.holds.review.HeldReview.settle``). A list of all patients that lacks
    more than that many (``missing``) may be the wrong list, so a person decides what it would permit.
    """
    return max(patients + waiting, missing) <= limit(safeguard, synced)


def room(safeguard: SafeguardRule, *, synced: int, lately: int, waiting: bool) -> int:
    """How many more patients a live feed may make more contactable now. None while changes of its source await review."""
    return 0 if waiting else max(0, limit(safeguard, synced) - lately)
