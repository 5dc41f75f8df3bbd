"""Speeds up a process: tunes Python's garbage collector, and skips a search for unused plugins."""

from __future__ import annotations

import gc
import os

PACE = (50_000, 20, 50)


def begin() -> None:
    """For a command: before anything large is imported."""
    settle_collector()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look through every package that is installed


def settle_collector() -> None:
    """Fewer walks through what is in memory.

    Batches make many short-lived values and no cycles: at the usual pace a third of their time goes into the walks. So does a tenth
    of the time of a short command, which makes classes and functions that stay.
    """
    gc.set_threshold(*PACE)


def end() -> None:
    """For a command that is done: what is left is not walked through once more, which takes a tenth of a short one's time."""
    gc.freeze()
