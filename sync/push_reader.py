"""Reads the patients whom EMRs reported as changed, through the adapter that also pulls them.

A read that fails is tried again as often as a run would be. After that the next scheduled pull brings the patient.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import groupby
from typing import Any

from adapters.base import Adapter, Fetch
from adapters.fhir.identity import RESOURCE_ID
from adapters.fhir.options import reads_some
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.runs.pushed_reads import EVERYTHING, PushedRead, PushedReads
from store.runs.runs import RunKind, RunStatus
from sync import logs, retry
from sync.config import ConfiguredSource
from sync.push import SETTLE
from sync.queue import Job
from sync.runtime import Runtime, lane

AT_ONCE = 4
"""Sources that are read at once."""
EVERY = 0.2
"""Seconds between two looks for reads that are due."""
AFTER_RUN = timedelta(seconds=5)
"""How long a pull that a notification asks for waits while another run of its source is in progress."""
READ, PULLED, FAILED, PUT_OFF, LEFT_TO_PULL = "read", "pulled", "failed", "put_off", "left_to_pull"


class PushReader:
    """A role of the serving process. Each source is read by one thread at a time, so that a slow EMR delays no other.

    ``enqueue`` queues the pull of a source.
    """

    def __init__(self, runtime: Runtime, enqueue: Callable[[Job], object]) -> None:
        self.runtime, self.enqueue, self.reads = runtime, enqueue, PushedReads(runtime.database)
        self.log: Any = logs.logger()
        self._adapters: dict[str, tuple[ConfiguredSource, Adapter]] = {}
        self._busy: set[str] = set()
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="push")
        self._thread = threading.Thread(target=self._work, name="push")

    def start(self) -> None:
        """Starts reading."""
        self._thread.start()

    def stop(self) -> None:
        """Stops; returns when the reads in progress are committed."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True)

    def once(self) -> None:
        """Begins to read what is due."""
        feeds = self.runtime.settings.feeds.values()
        free = [feed.name for feed in feeds if feed.push and feed.name not in self._busy]
        due = self.reads.take(self.runtime.clock(), free) if free else []
        for source, reads in groupby(sorted(due), lambda read: read.source):
            self._busy.add(source)
            self._pool.submit(self._read_all, source, list(reads))

    def _work(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self.once()
            except Exception as error:
                self._failed(error)

    def _read_all(self, source: str, reads: list[PushedRead]) -> None:
        try:
            for read in reads:
                if self._ended.is_set():
                    self.reads.again(read, self.runtime.clock())
                else:
                    self._do(read)
        except Exception as error:
            self._failed(error)
        finally:
            self._busy.discard(source)

    def _failed(self, error: Exception) -> None:
        """Logs that the database could not be used. What was taken is read after its lease."""
        self.log.error("reported patients not read", error=logs.place(error))
        self._ended.wait(self.runtime.settings.backoff.first_wait.total_seconds())

    def _do(self, read: PushedRead) -> None:
        feed, now = self.runtime.settings.feeds.get(read.source), self.runtime.clock
        if feed is None or feed.push is None or feed.enterprise != read.enterprise:
            return self.reads.done(read, now())
        if read.patient == EVERYTHING and self._is_running(read.source):
            return self.reads.again(read, now() + AFTER_RUN)
        try:
            outcome = self._pull(feed) if read.patient == EVERYTHING else self._read(feed, read.patient)
        except Exception as error:
            pause = retry.wait(error, read.attempts + 1, self.runtime.settings.backoff, random.random())
            self.log.warning("reported patient not read", source=read.source, error=logs.place(error), again=pause is not None)
            self.runtime.metrics.push_reads.add(read.source, FAILED if pause is None else PUT_OFF)
            return self.reads.done(read, now()) if pause is None else self.reads.again(read, now() + timedelta(seconds=pause))
        self.runtime.metrics.push_reads.add(read.source, outcome)
        self.reads.done(read, now() + SETTLE)

    def _read(self, feed: ConfiguredSource, patient: str) -> str:
        """Reads a patient; not one who may be outside of what the source reads, such as another organization's on the same server."""
        if reads_some(feed.settings.options) and not self._is_known(feed, patient):
            return LEFT_TO_PULL
        self.runtime.engine.read_now(lane(feed), self._adapter(feed), Fetch(resource=patient))
        return READ

    def _is_known(self, feed: ConfiguredSource, patient: str) -> bool:
        try:
            self.runtime.preferences.find(feed.enterprise, PatientRef(authority=feed.name, type=RESOURCE_ID, value=patient))
        except PatientUnknown:
            return False
        return True

    def _pull(self, feed: ConfiguredSource) -> str:
        self.enqueue(Job(feed.name, RunKind.INCREMENTAL))
        return PULLED

    def _is_running(self, source: str) -> bool:
        return any(run.status == RunStatus.RUNNING for run in self.runtime.journal.runs(source=source, limit=1))

    def _adapter(self, feed: ConfiguredSource) -> Adapter:
        """The source's adapter, kept for its access token until its configuration changes."""
        known = self._adapters.get(feed.name)
        if known is None or known[0] != feed:
            known = self._adapters[feed.name] = (feed, self.runtime.polled(feed))
        return known[1]
