"""The command: runs the benchmarks and prints a table, or one JSON value."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.databases import KINDS, Databases
from bench.figure import Figure
from bench.turns import Range

BENCHES = {
    "mapping": "bench.mapping",
    "intake": "bench.intake",
    "secured": "bench.secured",
    "applying": "bench.applying",
    "single": "bench.single",
    "batch": "bench.batch",
    "ingest": "bench.ingest",
    "memory": "bench.memory",
    "extract": "bench.extract",
    "latency": "bench.latency",
    "growth": "bench.growth",
    "bulk": "bench.bulk",
    "pages": "bench.pages",
    "search": "bench.search",
    "attacks": "bench.attacks",
    "starts": "bench.starts",
}
NUMBERS = ("measured", "floor", "ratio", "processor µs / floor's", "ratio by it")
HEADINGS = ("bench", "database", "what", "done", *NUMBERS, "goal", "")


def main() -> int:
    """Runs the benchmarks. Exit code 0 if every goal was reached, 1 if one was missed."""
    chosen = options(sys.argv[1:])
    errors = Console(stderr=True)
    databases = Databases(tuple(chosen.database or KINDS))
    figures: list[Figure] = []
    try:
        for name in chosen.only or BENCHES:
            with errors.status(f"{name} …"):
                for figure in import_module(BENCHES[name]).run(databases, quick=chosen.quick):
                    figures.append(figure)
                    errors.print(f"{figure.bench} {figure.database}: {figure.what}: {_number(figure.value)} {figure.unit}", highlight=False)
    finally:
        databases.close()
    if chosen.json:
        print(json.dumps({"machine": _machine(), "quick": chosen.quick, "figures": [figure.as_json() for figure in figures]}))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(_table(figures))
    return 0 if all(figure.reached for figure in figures) else 1


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, read. Ends the program if it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures emr-sync beside its floors, on this machine.")
    parser.add_argument("--json", action="store_true", help="one JSON value on stdout")
    parser.add_argument("--quick", action="store_true", help="smaller runs: minutes become seconds, figures become rougher")
    parser.add_argument("--only", action="extend", type=_benches, metavar="BENCH,…", help=f"only these benches: {', '.join(BENCHES)}")
    parser.add_argument("--database", action="append", choices=KINDS, help="only this database; may be given again")
    return parser.parse_args(arguments)


def _benches(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in BENCHES]:
        raise argparse.ArgumentTypeError(f"no bench is called {', '.join(map(repr, unknown))}; there are {', '.join(BENCHES)}")
    return names


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system(), "architecture": platform.machine()}


def _table(figures: list[Figure]) -> Table:
    table = Table(title="emr-sync, measured beside its floors")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left")
    for one in figures:
        floor = f"{_number(one.floor)} ({one.floor_is})" if one.floor else ""
        ratio = f"{one.ratio:.2f}" if one.ratio else ""
        cpu = f"{_used(one.cpu_us, one.cpu_range)} / {_used(one.floor_cpu_us, one.floor_cpu_range)}" if one.cpu_ratio else ""
        cpu_ratio = f"{one.cpu_ratio:.2f}" if one.cpu_ratio else ""
        verdict = "" if not one.goal else "[green]reached[/]" if one.reached else "[red]missed[/]"
        measured = f"{_number(one.value)} {one.unit}"
        table.add_row(one.bench, one.database, one.what, one.done, measured, floor, ratio, cpu, cpu_ratio, one.goal, verdict)
    return table


def _used(cpu_us: float | None, spread: Range | None) -> str:
    """Processor time, and its range if it varied."""
    varied = f" ({_number(spread[0])} to {_number(spread[1])})" if spread and spread[0] < spread[1] else ""
    return _number(cpu_us or 0.0) + varied


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


if __name__ == "__main__":
    sys.exit(main())
