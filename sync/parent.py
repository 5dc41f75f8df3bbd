"""A child process's side of the connection to the process that started it (``sync.child``).

It has its settings from its parent, at the start and after each reload, and reports once a second. It ends with its parent, even if that
was killed: the connection closes then.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from sync import handover, logs
from sync.config.settings import Settings
from sync.reload import Request

REPORT_EVERY = 1.0
NICENESS = 5
"""Runs can wait; those who ask for a decision should not. With this a run gets a quarter of what an equal share of a processor would be."""


class Parent:
    """The connection, by the number of its file."""

    def __init__(self, number: int) -> None:
        self.connection = socket.socket(fileno=number)
        self.report: Callable[[], bytes] | None = None
        self.log: Any = logs.logger()
        self._messages = self.connection.makefile("rb")
        self._ended = threading.Event()
        self._reporting = threading.Thread(target=self._report, name="report", daemon=True)

    def settings(self) -> Settings | None:
        """The settings to start with. ``None`` if the parent has ended meanwhile. Raises ``UsageError`` if it is of another version."""
        try:
            return handover.read_first(self._messages)
        except (EOFError, OSError):
            return None

    def start(self, reloads: SimpleQueue[Request]) -> None:
        """Puts into ``reloads`` what the parent tells, and ends this process when the parent has ended, or wants it to."""
        threading.Thread(target=self._listen, args=(reloads,), name="parent", daemon=True).start()
        self._reporting.start()

    def stop(self) -> None:
        """Reports for the last time and closes the connection."""
        self._ended.set()
        self._reporting.join(REPORT_EVERY)
        if not self._reporting.is_alive():  # else the parent is frozen and does not read
            self._tell()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _report(self) -> None:
        while not self._ended.wait(REPORT_EVERY):
            self._tell()

    def _tell(self) -> None:
        try:
            if self.report is not None:
                self.connection.sendall(self.report())
        except Exception as error:
            if not isinstance(error, OSError):  # a parent that is gone does not matter: this process ends, too
                self.log.error("not reported to the parent process", error=logs.place(error))

    def _listen(self, reloads: SimpleQueue[Request]) -> None:
        try:
            with suppress(EOFError, OSError):
                while True:
                    reloads.put(handover.read(self._messages))
        finally:
            if not self._ended.is_set():
                os.kill(os.getpid(), signal.SIGTERM)  # drains, and ends in time, as if it had been told to


@contextmanager
def reporting_to(parent: Parent | None, reloads: SimpleQueue[Request], *, can_wait: bool) -> Iterator[Parent | None]:
    """The connection to the parent process during the block; ``None`` for a process without one. ``can_wait``: nobody waits for it."""
    if parent is None:
        yield None
        return
    if can_wait:
        os.nice(NICENESS)
    parent.start(reloads)
    try:
        yield parent
    finally:
        parent.stop()
