"""The further processes of the API (``serve --workers N``): children that accept connections from the same socket as this process.

The socket stays open here, so that a connection waits for whoever accepts it next, whichever process ends. What the processes must answer
alike, such as metrics, they ask this one (``sync.questions``).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from multiprocessing import Pipe

from store.web.http.unknown_patients import LookUps
from sync import api_report, process_report, questions
from sync.child import Child
from sync.child_process import ChildProcess
from sync.config import Settings
from sync.handover import Told
from sync.housekeeping import Housekeeping
from sync.parent import REPORT_EVERY
from sync.process_report import ProcessReport
from sync.questions import Shared
from sync.runtime import Runtime

SILENT = 20
"""How many times in a row a process may owe its report before it is killed: its callers wait for answers that it does not give."""


class ApiProcess(Child):
    """Keeps one further process. ``look_ups`` is told what it is asked about; ``listening`` is the API's socket."""

    what = "a process of the API"

    def __init__(self, runtime: Runtime, fail: Callable[[str], None], listening: socket.socket, shared: Shared, look_ups: LookUps) -> None:
        super().__init__(runtime, ["api"], fail)
        self.listening, self.shared, self.look_ups = listening, shared, look_ups
        self._owed: int | None = None

    def look(self) -> None:
        """Kills a process that reports no more. Counted by looks, not by time: this process may have stood still, too."""
        with self._lock:
            if self._owed is None or self._process is None:
                return
            self._owed += 1
            if self._owed > SILENT:
                self._owed = None
                self.log.error("a process does not report and is killed; its callers have to ask again", roles=self.roles)
                self._process.kill()

    def _child(self, settings: Settings) -> ChildProcess:
        self._owed = None  # until the first report: a start may take long
        ours, theirs = Pipe()
        try:
            with theirs:
                files = {"--api-socket": self.listening.fileno(), "--questions": theirs.fileno()}
                found = ChildProcess(self._arguments(settings), self._reported, files)
        except OSError:
            ours.close()
            raise
        threading.Thread(target=questions.answer, args=(ours, self.shared), name="answer questions", daemon=True).start()
        return found

    def _reported(self, line: bytes) -> None:
        before = self._report
        super()._reported(line)
        self._owed = 0
        api_report.count_look_ups(self.look_ups, before.counts, self._report.counts)


class ApiProcesses:
    """Keeps all further processes of the API. ``shared`` is what they ask this one for."""

    def __init__(self, runtime: Runtime, number: int, fail: Callable[[str], None], look_ups: LookUps) -> None:
        self.runtime, self.number, self.fail, self.look_ups = runtime, number, fail, look_ups
        self._processes: list[ApiProcess] = []
        self._watch = Housekeeping({"processes of the API watched": self._look}, REPORT_EVERY)

    def accept_from(self, listening: socket.socket, shared: Shared) -> ApiProcesses:
        """Has them accept connections from this socket, once started."""
        self._listening = listening.dup()  # the web server closes its own
        self._processes = [ApiProcess(self.runtime, self.fail, self._listening, shared, self.look_ups) for _ in range(self.number)]
        return self

    def start(self) -> None:
        """Starts them. The service answers meanwhile."""
        for one in self._processes:
            one.start()
        self._watch.start()

    def stop(self) -> None:
        """Has them answer what they have accepted, and end; returns when they have."""
        for one in self._processes:
            one.end()
        self._listening.close()  # nobody accepts any more, so nobody should wait
        self._watch.stop()
        with ThreadPoolExecutor(len(self._processes), "stop") as stopping:
            list(stopping.map(ApiProcess.stop, self._processes))

    def tell(self, what: Told) -> None:
        """Has them use the settings of this process, or know why they stay as they are."""
        for one in self._processes:
            one.tell(what)

    def report(self) -> ProcessReport:
        """What all of them have counted."""
        return reduce(process_report.added, (one.report() for one in self._processes), ProcessReport())

    def _look(self) -> int:
        for one in self._processes:
            one.look()
        return 0
