"""What a process tells the one that started it, so that one address shows the work of both: counters, failures and jobs.

One line of JSON, about once a second. It has sources, reasons and counts: never anything about a patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from store.db.recent_failures import FailureState
from store.domain import documents
from store.domain.documents import instant
from store.errors import DocumentDamaged
from sync.queue import Depth

Counts = Mapping[str, Iterable[tuple[tuple[str, ...], float]]]
NONE: Mapping[str, int] = MappingProxyType({})
NO_COUNTS: Counts = MappingProxyType({})


class ProcessReport(NamedTuple):
    """``counts``: of each family, labels and values. ``totals``: failures since the start, by kind; ``failures``: recent ones."""

    counts: Counts = NO_COUNTS
    totals: Mapping[str, int] = NONE
    failures: tuple[FailureState, ...] = ()
    waiting: int = 0
    running: int = 0
    oldest: float = 0.0

    def depth(self) -> tuple[Depth, float]:
        """The jobs, and the age of the oldest that waits."""
        return Depth(self.waiting, self.running), self.oldest


def written(report: ProcessReport) -> bytes:
    """A report as a line."""
    return documents.write(report).encode() + b"\n"


def read(line: bytes) -> ProcessReport | None:
    """A report from its line. ``None`` if it was cut off, by a child that was killed or a parent that stood still; another comes."""
    try:
        counts, totals, failures, *jobs = documents.read(line.decode(errors="replace"))
    except DocumentDamaged:
        return None
    states = tuple(FailureState(**{**one, "since": instant(one["since"]), "last": instant(one["last"])}) for one in failures)
    return ProcessReport({name: [(tuple(labels), value) for labels, value in rows] for name, rows in counts.items()}, totals, states, *jobs)


def without_state(report: ProcessReport) -> ProcessReport:
    """What counts on after a process has ended: counters must not go back."""
    return ProcessReport(report.counts, report.totals)


def added(one: ProcessReport, other: ProcessReport) -> ProcessReport:
    """Two processes as one."""
    return ProcessReport(
        {name: list(_sum((one, other), name).items()) for name in {**one.counts, **other.counts}},
        {kind: one.totals.get(kind, 0) + other.totals.get(kind, 0) for kind in {**one.totals, **other.totals}},
        joined((*one.failures, *other.failures)),
        one.waiting + other.waiting,
        one.running + other.running,
        max(one.oldest, other.oldest),
    )


def joined(failures: Iterable[FailureState]) -> tuple[FailureState, ...]:
    """One state for each kind: since the first, with the reason of the last."""
    found: dict[str, FailureState] = {}
    for one in failures:
        other = found.get(one.kind)
        found[one.kind] = one if other is None else _joined(one, other)
    return tuple(found.values())


def _joined(one: FailureState, other: FailureState) -> FailureState:
    last = max(one, other, key=lambda state: state.last)
    return FailureState(one.kind, min(one.since, other.since), last.last, one.count + other.count, last.reason)


def _sum(reports: Iterable[ProcessReport], name: str) -> Mapping[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for report in reports:
        for labels, value in report.counts.get(name, ()):
            found[labels] = found.get(labels, 0) + value
    return found
