"""Counts decisions by outcome, and how long a sender waits for one. Both for metrics: nothing about a patient is kept.

This is on the path of every decision, so counting is a few additions, and the text is written by whoever reads it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from store.domain.decision_request import SEND, Decision

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the upper ends of the buckets. A decision takes one to a few milliseconds; senders should give up after ten seconds."""


class Latency(NamedTuple):
    """The answers with one status: ``buckets`` has for each of :data:`BOUNDS`, and without bound, how many took at most so long."""

    buckets: tuple[int, ...]
    seconds: float


class DecisionCounts:
    """Those of one process. Thread-safe; ``answered`` is called by the event loop alone."""

    def __init__(self) -> None:
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._buckets: dict[int, list[int]] = {}
        self._seconds: dict[int, float] = {}

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Counts decisions by what they say and, where they refuse, by their first reason."""
        found = [(one.decision, "" if one.decision == SEND or not one.reasons else one.reasons[0]) for one in decisions]
        with self._lock:
            self._outcomes.update(found)

    def answered(self, status: int, seconds: float) -> None:
        """Counts the answer to a single request: its HTTP status, and how long it took from the headers on."""
        buckets = self._buckets.get(status)
        if buckets is None:
            self._seconds[status] = 0.0  # first: another thread may read them between any two lines
            buckets = self._buckets[status] = [0] * (len(BOUNDS) + 1)
        buckets[bisect_left(BOUNDS, seconds)] += 1
        self._seconds[status] += seconds

    def outcomes(self) -> Mapping[tuple[str, str], int]:
        """(decision, reason) -> how many, since the process started."""
        with self._lock:
            return dict(self._outcomes)

    def latencies(self) -> Mapping[int, Latency]:
        """HTTP status -> the answers to single requests, since the process started."""
        return {status: Latency(tuple(accumulate(found)), self._seconds[status]) for status, found in list(self._buckets.items())}
