"""What the API of a process counts: as rows of its report to the first process (``sync.process_report``), and added up there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from store.web.http.decision_counts import DecisionCounts, Latency
from store.web.http.unknown_patients import LookUps
from sync.process_report import Counts

DECISIONS, BUCKETS, SECONDS, ASKED, UNKNOWN = "decisions", "decision_buckets", "decision_seconds", "look_ups", "unknown_patients"


class ApiCounts(NamedTuple):
    """What the API of a process counts: the patients that keys ask about, and decisions."""

    look_ups: LookUps
    decisions: DecisionCounts


def rows(counts: ApiCounts) -> Counts:
    """The rows. An answer's bucket has no number of its own in :data:`BUCKETS`: they are in order."""
    latencies, look_ups = counts.decisions.latencies(), counts.look_ups.totals_by_enterprise()
    return {
        DECISIONS: list(counts.decisions.outcomes().items()),
        BUCKETS: [((str(status), str(n)), count) for status, one in latencies.items() for n, count in enumerate(one.buckets)],
        SECONDS: [((str(status),), one.seconds) for status, one in latencies.items()],
        ASKED: [(key, asked) for key, (asked, _) in look_ups.items()],
        UNKNOWN: [(key, unknown) for key, (_, unknown) in look_ups.items()],
    }


def outcomes(own: DecisionCounts, beside: Counts) -> Mapping[tuple[str, str], float]:
    """Decisions by outcome, with those of other processes."""
    found: Counter[tuple[str, ...]] = Counter(own.outcomes())
    found.update(dict(beside.get(DECISIONS, ())))
    return {(decision, reason): count for (decision, reason), count in found.items()}


def latencies(own: DecisionCounts, beside: Counts) -> Mapping[int, Latency]:
    """Answers by status, with those of other processes."""
    found = dict(own.latencies())
    for status, other in _latencies(beside):
        one = found.get(status)
        found[status] = other if one is None else _added(one, other)
    return found


def count_look_ups(look_ups: LookUps, before: Counts, now: Counts) -> None:
    """Counts what another process has counted between two of its reports, so that one alarm hears of all."""
    asked, unknown, later = dict(before.get(ASKED, ())), dict(before.get(UNKNOWN, ())), dict(now.get(UNKNOWN, ()))
    for key, number in now.get(ASKED, ()):
        enterprise, name = key
        look_ups.add(enterprise, name, int(number - asked.get(key, 0)), int(later[key] - unknown.get(key, 0)))


def _latencies(beside: Counts) -> Iterator[tuple[int, Latency]]:
    buckets, seconds = dict(beside.get(BUCKETS, ())), dict(beside.get(SECONDS, ()))
    for (status,), took in seconds.items():
        numbers = sorted(int(n) for one, n in buckets if one == status)
        yield int(status), Latency(tuple(int(buckets[status, str(n)]) for n in numbers), took)


def _added(one: Latency, other: Latency) -> Latency:
    return Latency(tuple(a + b for a, b in zip(one.buckets, other.buckets, strict=True)), one.seconds + other.seconds)
