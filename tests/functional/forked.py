"""``emr-sync`` as its own process, without the second that its imports cost: one process imports them and forks every program.

From its arguments on, a forked program is what a started one is: a process with its own memory, files and signals, which can be killed.
What a start itself does is tested with the installed program (tests/sync/test_start.py, test_program.py and test_descriptors.py, and the
tests that use ``EMR_SYNC``).
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import adapters
import store
import sync

DRIVERS = ("alembic.command", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite")


def _modules() -> Iterator[str]:
    """All our modules, except migrations: importing their environment runs them."""
    for package in (adapters, store, sync):
        yield from (f"{package.__name__}.{name}" for name in _below(Path(package.__path__[0])) if "migrations" not in name)


def _below(folder: Path, prefix: str = "") -> Iterator[str]:
    for found in pkgutil.iter_modules([str(folder)], prefix):
        yield found.name
        if found.ispkg:
            yield from _below(folder / found.name.rpartition(".")[2], f"{found.name}.")


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__, *DRIVERS, *_modules()])


class Program(NamedTuple):
    """A program that runs, or has ended. Its methods are those of ``subprocess.Popen``."""

    process: BaseProcess

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end, at most so many seconds; gives its exit code."""
        self.process.join(timeout)
        code = self.poll()
        assert code is not None, f"the program has not ended after {timeout} s"
        return code


def start(arguments: Sequence[str], out: Path, err: Path) -> Program:
    """Starts ``emr-sync`` with these arguments. Its output is added to these files."""
    process = FORKS.Process(target=_main, args=(list(arguments), dict(os.environ), str(out), str(err)), daemon=True)
    process.start()
    return Program(process)


def _main(arguments: Sequence[str], environment: Mapping[str, str], out: str, err: str) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["emr-sync", *arguments]
    from sync.commands.cli import main

    main()
