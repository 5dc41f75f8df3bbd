"""Writes the whole population as NDJSON (one Patient resource per line), streamed like a bulk export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from adapters.rehearsal.chart import Chart
from adapters.rehearsal.resource import patient


def lines(chart: Chart) -> Iterator[bytes]:
    """One line per patient, current state, without the line end."""
    for index in range(chart.population.size):
        yield json.dumps(patient(chart.entry(index)), separators=(",", ":")).encode()


def write(chart: Chart, path: Path) -> int:
    """Writes the file and returns the number of patients. Memory does not grow with the population."""
    count = 0
    with path.open("wb") as file:
        for line in lines(chart):
            file.write(line + b"\n")
            count += 1
    return count
