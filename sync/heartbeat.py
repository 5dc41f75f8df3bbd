"""The heartbeat of a run, sent at intervals however long the EMR takes to respond."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from store.runs.runs import Journal, Run

BEATS = 4
"""Heartbeats within the time after which a silent run counts as gone."""


@contextmanager
def alive(journal: Journal, run: Run, clock: Callable[[], datetime], every: float | None = None) -> Iterator[None]:
    """Records a heartbeat of the run every ``every`` seconds during the block (default: several per lease)."""
    ended, pause = threading.Event(), journal.lease.total_seconds() / BEATS if every is None else every

    def beat() -> None:
        while not ended.wait(pause):
            with suppress(Exception):  # a missed beat is made up for by the next, or by a commit
                journal.alive(run, clock())

    thread = threading.Thread(target=beat, name=f"alive-{run.source}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
