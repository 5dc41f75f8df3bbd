"""``python -m bench.drills [--only NAME]… [--json]``: runs the drills and prints a row for each. Linux; some need root."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.drills import on_postgresql, on_sqlite
from bench.drills.disks import NOT_ALLOWED, mounted, small_disk, unmount
from bench.drills.outcome import Outcome
from bench.drills.server import Server
from bench.drills.stage import Stage

HEADINGS = (
    "drill",
    "sent",
    "lost",
    "doubled",
    "wrong",
    "permitted",
    "accepted",
    "intake s",
    "decisions s",
    "answers",
    "readiness",
    "metrics",
    "log",
)
SERVER_MEGABYTES = 320
NAMES = (*on_postgresql.DRILLS, *on_sqlite.DRILLS)


def main() -> int:
    """Exit code 0 when all is well: nothing lost, doubled, wrong or permitted, and every target reached; else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.drills", description="Breaks the running service on purpose.")
    parser.add_argument("--only", action="append", choices=NAMES, help="only this drill; may be given again")
    parser.add_argument("--json", action="store_true", help="one JSON value on stdout")
    wish = parser.parse_args()
    chosen, errors, found = wish.only or list(NAMES), Console(stderr=True), []
    for drill, run in chain(_over_postgresql(chosen), _over_sqlite(chosen)):
        errors.print(f"{drill}: {run}", highlight=False)
        if isinstance(run, Outcome):
            found.append(run)
    if wish.json:
        print(json.dumps([one.as_json() for one in found]))
    else:
        Console(width=None if sys.stdout.isatty() else 240).print(_table(found))
    return 0 if len(found) == len(chosen) and all(one.is_well for one in found) else 1


def _over_postgresql(chosen: list[str]) -> Iterator[tuple[str, Outcome | str]]:
    names = [name for name in on_postgresql.DRILLS if name in chosen and name not in on_postgresql.ON_SMALL_DISK]
    if names:
        yield from _over_server(Server(), names)
    for name in (name for name in on_postgresql.DRILLS if name in chosen and name in on_postgresql.ON_SMALL_DISK):
        with small_disk(SERVER_MEGABYTES) as disk:
            if disk is None:
                yield name, NOT_ALLOWED
            else:
                yield from _over_server(Server(disk), [name])


def _over_server(server: Server, names: Sequence[str]) -> Iterator[tuple[str, Outcome | str]]:
    try:
        for number, name in enumerate(names):
            with tempfile.TemporaryDirectory() as folder:
                stage = Stage(Path(folder), server.database(f"drill{number}"))
                try:
                    on_postgresql.DRILLS[name](stage, server)
                    yield name, stage.reckon(name, "PostgreSQL")
                except Exception as error:
                    yield name, f"failed: {error}"
                finally:
                    stage.abandon()
    finally:
        server.close()


def _over_sqlite(chosen: list[str]) -> Iterator[tuple[str, Outcome | str]]:
    for name in (name for name in on_sqlite.DRILLS if name in chosen):
        with tempfile.TemporaryDirectory() as folder:
            disk = Path(folder) / "disk"
            disk.mkdir()
            small = name in on_sqlite.ON_SMALL_DISK and mounted(disk)
            if name in on_sqlite.ON_SMALL_DISK and not small:
                yield name, NOT_ALLOWED
                continue
            stage = Stage(Path(folder), f"sqlite:///{disk / 'drill.db'}")
            try:
                on_sqlite.DRILLS[name](stage, disk / "drill.db")
                yield name, stage.reckon(name, "SQLite", restored=name in on_sqlite.RESTORED)
            except Exception as error:
                yield name, f"failed: {error}"
            finally:
                stage.abandon()
                if small:
                    unmount(disk)


def _table(found: list[Outcome]) -> Table:
    table = Table(title="emr-sync, broken on purpose")
    for heading in HEADINGS:
        table.add_column(heading)
    for one in found:
        figures = (one.sent, one.lost, one.doubled, one.wrong, one.permitted, one.accepted, one.intake, one.decisions)
        where = (one.codes, one.readiness, one.metrics, one.log)
        table.add_row(f"{one.drill} ({one.database})", *(str(figure) for figure in figures), *where)
    return table


if __name__ == "__main__":
    sys.exit(main())
