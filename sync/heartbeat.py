"""Says every so often that a run lives, however long the EMR takes to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from store.journal import Journal, Run

HEARTBEAT = 30.0
"""Seconds; well below ``store.journal.LEASE``."""


@contextmanager
def alive(journal: Journal, run: Run, clock: Callable[[], datetime], every: float = HEARTBEAT) -> Iterator[None]:
    """While the block works, the run does not look abandoned: it is told of ``every`` so many seconds."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every):
            with suppress(Exception):  # a missed beat is made up for by the next, or by a commit
                journal.alive(run, clock())

    thread = threading.Thread(target=beat, name=f"alive-{run.source}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
