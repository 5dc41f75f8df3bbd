"""Keeps a child process, such as the one that does the runs: starts it, starts it again when it ends, and has it end with this one.

It gets the settings of this process (``sync.handover``), not those that the configuration file has by then.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from store.runs.processes import Processes
from sync import handover, logs, process_report
from sync.child_process import ChildProcess
from sync.config import Settings
from sync.handover import Told
from sync.process_report import ProcessReport
from sync.runtime import Runtime
from sync.signals import CHILD_DRAIN

FIRST_PAUSE, LONGEST_PAUSE, STEADY = 0.5, 60.0, 60.0
"""Seconds until a child is started again: doubling, and as at first after it has lived for ``STEADY``."""
MARGIN = 2.0
"""Seconds after which a child is killed that should have ended by itself."""
ENDED = "{what} ended and is started again: see its log, and the machine's memory"


class Child:
    """Keeps one child running until it is stopped. ``fail`` is called with a sentence for people when it cannot."""

    what = "the process that does the runs"

    def __init__(self, runtime: Runtime, roles: Collection[str], fail: Callable[[str], None]) -> None:
        self.runtime, self.roles, self.fail = runtime, sorted(roles), fail
        self.log: Any = logs.logger()
        self._former, self._report = ProcessReport(), ProcessReport()
        self._process: ChildProcess | None = None
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="child")

    def start(self) -> None:
        """Starts the child. It is ready when it has recorded its first heartbeat."""
        self._thread.start()

    def end(self) -> ChildProcess | None:
        """Has the child drain and end, and no other start. Returns it at once."""
        with self._lock:
            self._ended.set()
            if self._process:
                self._process.end()
            return self._process

    def stop(self) -> None:
        """The same; returns when it has ended. One that takes too long is killed, which loses nothing."""
        process = self.end()
        if self._thread.is_alive():
            self._thread.join(CHILD_DRAIN + MARGIN)
        if process and self._thread.is_alive():
            self.log.error("a process did not stop in time and was killed; nothing uncommitted was acknowledged", roles=self.roles)
            process.kill()
            self._thread.join()

    def tell(self, what: Told) -> None:
        """Has the child use the settings of this process, or know why they stay as they are."""
        with self._lock:
            if self._process:
                self._process.tell(handover.told(what))

    def report(self) -> ProcessReport:
        """What all children so far have counted, and the state of the one that runs."""
        with self._lock:
            return process_report.added(self._former, self._report)

    def _work(self) -> None:
        try:
            self._keep_running()
        except Exception as error:
            self.fail(f"{self.what} cannot be kept ({logs.place(error)}); please report this line")

    def _keep_running(self) -> None:
        pause = FIRST_PAUSE
        while not self._ended.is_set():
            began = time.monotonic()
            code = self._run_once()
            if self._ended.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY else pause
            self._note_end(code, pause)
            self._ended.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _run_once(self) -> int | None:
        """The child's life. Returns its exit code, or ``None`` if it could not be started."""
        try:
            process = self._started()
        except OSError as error:
            self.log.error("process not started", roles=self.roles, error=logs.place(error))
            return None
        if process is None:
            return None
        code = process.follow()
        with self._lock:
            self._process = None
            self._former, self._report = process_report.added(self._former, process_report.without_state(self._report)), ProcessReport()
        if code and not self._ended.is_set():
            self._forget(process.process.pid)
        return code

    def _started(self) -> ChildProcess | None:
        """``None`` if this process ends. A reload comes before, and changes what is handed over, or after, and is told."""
        with self._lock:
            if self._ended.is_set():
                return None
            settings = self.runtime.settings
            found = self._child(settings)
            found.tell(handover.first(settings))
            self._process = found
        return found

    def _child(self, settings: Settings) -> ChildProcess:
        return ChildProcess(self._arguments(settings), self._reported)

    def _arguments(self, settings: Settings) -> list[str]:
        return ["--config", settings.file, "serve", "--only", ",".join(self.roles)]

    def _reported(self, line: bytes) -> None:
        if found := process_report.read(line):
            with self._lock:
                self._report = found

    def _forget(self, pid: int) -> None:
        """Removes what a killed child left, so that it is noted once, and here."""
        with suppress(Exception):  # without the database, the next process that finds it there notes it
            Processes(self.runtime.database, f"{socket.gethostname()}:{pid}").leave()

    def _note_end(self, code: int | None, pause: float) -> None:
        if code == 0:  # somebody stopped it
            self.log.warning("a process was stopped and is started again", roles=self.roles, seconds=pause)
            return
        self.runtime.killed.add(ENDED.format(what=self.what))
        self.log.error("a process ended and is started again", roles=self.roles, exit=code, seconds=pause)
