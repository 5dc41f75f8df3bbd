"""Measuring in turns, so that other work on the machine slows the figure and its floor alike."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

import psutil

Range = tuple[float, float]


class Rate(NamedTuple):
    """Items per second, and the processor time per item in microseconds. ``counts``: what became of the items.

    ``server_us`` is the part of it that PostgreSQL's processes used, where it was measured. ``range`` and ``cpu_range`` are the lowest and
    the highest of the rounds of which this is the median.
    """

    rate: float
    cpu_us: float
    counts: Mapping[str, int] = MappingProxyType({})
    server_us: float = 0.0
    range: Range | None = None
    cpu_range: Range | None = None


def middle(rates: Sequence[Rate]) -> Rate:
    """The median of several rounds, with the counts of all of them."""
    counts = sum((Counter(one.counts) for one in rates), Counter[str]())
    found, used = [one.rate for one in rates], [one.cpu_us for one in rates]
    server = median(one.server_us for one in rates)
    return Rate(median(found), median(used), dict(counts), server, (min(found), max(found)), (min(used), max(used)))


def in_turns(rounds: int, *measures: Callable[[], Rate]) -> list[Rate]:
    """The median of each measure, over rounds in which each is measured once."""
    found = [[measure() for measure in measures] for _ in range(rounds)]
    return [middle(each) for each in zip(*found, strict=True)]


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def family_seconds(pid: int) -> float:
    """The processor time that a process and its children have used so far, also those that ended."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    ended = float(own.children_user + own.children_system)
    return processor_seconds(pid) + ended + sum(_seconds(child) for child in process.children())


def ended_seconds() -> float:
    """The processor time of the processes that this one has started and that have ended, with theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seconds(child: psutil.Process) -> float:
    try:
        return processor_seconds(child.pid)
    except psutil.NoSuchProcess:
        return 0.0  # it ended just now
