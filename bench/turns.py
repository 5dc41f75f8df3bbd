"""Measuring in turns, so that other work on the machine slows the figure and its floor alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import psutil


class Rate(NamedTuple):
    """Items per second, and the processor time of the measured process per item, in microseconds."""

    rate: float
    cpu_us: float


def middle(rates: Sequence[Rate]) -> Rate:
    """The median of several rounds."""
    return Rate(median(one.rate for one in rates), median(one.cpu_us for one in rates))


def in_turns(rounds: int, *measures: Callable[[], Rate]) -> list[Rate]:
    """The median of each measure, over rounds in which each is measured once."""
    found = [[measure() for measure in measures] for _ in range(rounds)]
    return [middle(each) for each in zip(*found, strict=True)]


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
