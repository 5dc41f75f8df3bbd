"""The signals of a serving process: SIGTERM and Ctrl-C drain it, once and in time. SIGHUP has it read its configuration again."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

from sync import logs

if TYPE_CHECKING:
    from sync.reload import Request

DRAIN = 25.0
"""Seconds for work in progress. Supervisors kill the process after 30 (Kubernetes) or 90 (systemd); a crash loses nothing either."""
CHILD_DRAIN = 18.0
"""The same for a child process, which ends before its parent."""
OVERDUE = 1
AWAKE_EVERY = 1.0
OURS = frozenset({"sync", "adapters", "store"})


@contextmanager
def ended_by_signals(
    ended: threading.Event | None = None, drain: float = DRAIN, reloads: SimpleQueue[Request] | None = None
) -> Iterator[threading.Event]:
    """The event (``ended``, or a new one) that SIGTERM and Ctrl-C set. Further signals change nothing while the block drains.

    SIGHUP puts ``True`` into ``reloads``; without that it does nothing. A ``SimpleQueue``, because a signal may interrupt a handler.

    If the block does not end within ``drain`` seconds, for example because the database hangs, the process is ended.
    """
    stop, overdue = ended or threading.Event(), threading.Timer(drain, _end_overdue)
    overdue.daemon = True
    to_do = iter((overdue.start, stop.set))  # a signal may interrupt the handling of another: each is done once

    def end(*_: Any) -> None:
        for do in to_do:
            do()

    handlers = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    on_hangup: Any = signal.SIG_IGN if reloads is None else lambda *_: reloads.put(True)
    handlers[signal.SIGHUP] = signal.signal(signal.SIGHUP, on_hangup)
    try:
        yield stop
    finally:
        overdue.cancel()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def sleep_until(ended: threading.Event, meanwhile: Callable[[], None] | None = None, every: float | None = None) -> None:
    """Returns when the event is set; calls ``meanwhile`` at least every so many seconds.

    It wakes every second: a signal that arrives in another thread, or just before this one sleeps, does not wake it, and Python would not
    run the handler.
    """
    while not ended.wait(min(every or AWAKE_EVERY, AWAKE_EVERY)):
        if meanwhile:
            meanwhile()


def _end_overdue() -> None:
    logs.logger().error("stopped before all work was done; nothing uncommitted was acknowledged", busy=_busy())
    os._exit(OVERDUE)


def _busy() -> list[str]:
    """The threads that have not ended, and where in our code each is: what hangs."""
    frames = sys._current_frames()
    return [f"{one.name} {_place(frames[one.ident])}" for one in threading.enumerate() if one.ident in frames and not one.daemon]


def _place(frame: FrameType | None) -> str:
    """The innermost file and line of ours."""
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] not in OURS:
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if frame else ""
