"""How long commands take to start: each that ends by itself, on a site with one patient. The floor is the interpreter that runs nothing.

Most of it is imports, so what was done is the number of modules that were imported. The commands are installed ones, in processes of
their own; each must end with exit code 0.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from adapters.rehearsal.population import mrn
from bench import asks, site
from bench.databases import Databases
from bench.figure import Figure
from bench.load_mllp import feed
from bench.pages import EMR_SYNC
from bench.turns import ended_seconds

TIMES, MOST_SECONDS, MOST_HELP = 7, 0.5, 0.35
MESSAGE = "a08.hl7"
PATIENT = mrn(0)
HELP = ("--help",)
COMMANDS: tuple[tuple[str, ...], ...] = (
    HELP,
    ("--version",),
    ("explain-reply", "STOP"),
    ("explain", site.ADT, MESSAGE),
    ("check-config",),
    ("check-database",),
    ("migrate",),
    ("ingest", site.ADT, MESSAGE),
    ("map", site.ADT, MESSAGE),
    ("remap", site.ADT),
    ("patient", PATIENT),
    ("decide", PATIENT, "--type", "automation", "--channels", "sms"),
    ("find", PATIENT),
    ("runs",),
    ("rejections",),
    ("keys", "list"),
    ("users", "list"),
    ("audit",),
    ("audit", "verify"),
    ("opt-outs",),
    ("write-backs",),
    ("replies",),
    ("alerts",),
    ("webhooks",),
    ("check-identities",),
)
COUNTS_MODULES = (
    "import sys; from sync.commands import cli; code = cli.run(sys.argv[1:]); sys.stderr.write(f'\\n{code} {len(sys.modules)}')"
)


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    times = 3 if quick else TIMES
    for kind in databases.kinds:
        with databases.fresh(kind) as url, asks.folder() as folder:
            config = site.write(folder, url)
            asks.fill(config, 1)
            (folder / MESSAGE).write_bytes(next(feed(1, revision=0)))
            for arguments in COMMANDS:
                yield _figure(kind, arguments, config, times)


class Start(NamedTuple):
    """What it took to start a program and wait for its end."""

    seconds: float
    cpu_us: float


def _figure(kind: str, arguments: Sequence[str], config: Path, times: int) -> Figure:
    command = ["-c", str(config), *arguments]
    modules = _modules(command, config.parent)
    both = [(_start([sys.executable, "-c", ""], config.parent), _start([EMR_SYNC, *command], config.parent)) for _ in range(times)]
    nothing, real = (_median(each) for each in zip(*both, strict=True))
    return Figure(
        "starts",
        f"emr-sync {' '.join(arguments)}",
        real.seconds,
        "s",
        floor=nothing.seconds,
        floor_is="interpreter",
        most=MOST_HELP if arguments == HELP else MOST_SECONDS,
        database=kind,
        cpu_us=real.cpu_us,
        floor_cpu_us=nothing.cpu_us,
        counts={"modules imported": modules},
    )


def _modules(command: Sequence[str], folder: Path) -> int:
    """How many modules the command imports. Raises ``RuntimeError`` if it does not do its work."""
    done = subprocess.run([sys.executable, "-c", COUNTS_MODULES, *command], capture_output=True, text=True, check=True, cwd=folder)
    code, number = done.stderr.split()[-2:]
    if code != "0":
        raise RuntimeError(f"{' '.join(command)} ended with exit code {code}")
    return int(number)


def _start(command: Sequence[str], folder: Path) -> Start:
    began, used = time.perf_counter(), ended_seconds()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, cwd=folder)
    return Start(time.perf_counter() - began, 1e6 * (ended_seconds() - used))


def _median(starts: Sequence[Start]) -> Start:
    return Start(*(median(each) for each in zip(*starts, strict=True)))
