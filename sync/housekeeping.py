"""What is done every so often without being asked: payloads whose time is over are erased."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from store.quarantine import Quarantine
from sync import logs

EVERY = 3600.0


class Housekeeping:
    """A role of the serving process. A failure is logged, and made up for the next time."""

    def __init__(self, quarantine: Quarantine, keep: timedelta, clock: Callable[[], datetime], every: float = EVERY) -> None:
        self.quarantine, self.keep, self.clock, self.every = quarantine, keep, clock, every
        self.log: Any = logs.logger()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="housekeeping")

    def start(self) -> None:
        """Does it now, and from then on every hour."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when what was under way is done."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def once(self) -> int:
        """Erases the payloads whose time is over; how many."""
        return self.quarantine.erase(self.clock() - self.keep)

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                if erased := self.once():
                    self.log.info("payloads erased", payloads=erased)
            except Exception as error:
                self.log.error("payloads not erased", error=logs.place(error))
            self._ended.wait(self.every)
