"""``emr-sync`` as its own process, without the second that its imports cost: one process has them (preloaded.py) and forks every program.

From its arguments on, a forked program is what a started one is: a process with its own memory, files and signals, which can be killed.
What a start itself does is tested with the installed program (tests/sync/test_start.py, test_program.py and test_descriptors.py, and the
tests that use ``EMR_SYNC``).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

ONE_PROCESS = "EMR_SYNC_ONE_PROCESS"
"""A child would cost each program that serves the second of imports that a fork saves. tests/functional/test_child.py has real ones."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "tests.functional.preloaded"])


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


def unchanged() -> None:
    """The program as it is."""


def with_child() -> None:
    """The program does its runs in a child, which is a new interpreter."""
    del os.environ[ONE_PROCESS]


def with_impatient_parent() -> None:
    """The same, and the program waits a second for a child that should end, not eighteen."""
    from sync import child

    with_child()
    child.CHILD_DRAIN = 1.0


def start(arguments: Sequence[str], out: Path, err: Path, prepare: Callable[[], None] = unchanged) -> Program:
    """Starts ``emr-sync`` with these arguments. Its output is added to these files.

    ``prepare`` is called first, in the program's process: a function of a module that a forked program has, or imports quickly.
    """
    process = FORKS.Process(target=_main, args=(list(arguments), dict(os.environ), str(out), str(err), prepare), daemon=True)
    process.start()
    return Program(process)


def _main(arguments: Sequence[str], environment: Mapping[str, str], out: str, err: str, prepare: Callable[[], None]) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update({ONE_PROCESS: "1", **environment})
    sys.argv = ["emr-sync", *arguments]
    prepare()
    from sync.commands.cli import main

    main()
