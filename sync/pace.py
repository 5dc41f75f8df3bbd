"""Speeds up a process: tunes Python's garbage collector and its threads, and skips a search for unused plugins."""

from __future__ import annotations

import gc
import os
import sys

PACE = (50_000, 20, 50)
SWITCHING = 0.000_5  # seconds


def begin() -> None:
    """For a command: call before anything large is imported."""
    slow_down_collector()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # otherwise it searches all installed packages


def slow_down_collector() -> None:
    """Makes garbage collections rarer.

    Batches create many short-lived values and no cycles: with the default thresholds a third of their time is spent on collections. For a
    short command it is a tenth: it creates classes and functions that are never freed.
    """
    gc.set_threshold(*PACE)


def let_answers_pass() -> None:
    """For a process that answers senders: threads that compute, such as intake and runs, give way sooner.

    A decision waits for other threads up to ten times. By default a computing thread keeps the interpreter for 5 ms each time.
    """
    sys.setswitchinterval(SWITCHING)


def end() -> None:
    """For a finished command: skips the final collection, which takes a tenth of a short command's time."""
    gc.freeze()
