"""Speeds up a process: tunes Python's garbage collector, and skips a search for unused plugins."""

from __future__ import annotations

import gc
import os

PACE = (50_000, 20, 50)


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


def end() -> None:
    """For a finished command: skips the final collection, which takes a tenth of a short command's time."""
    gc.freeze()
