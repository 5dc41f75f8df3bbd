"""What is told while a run works, to whoever looks on."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called after each commit with the items done so far, how many there will be where the EMR says so, and what is waited for."""

    def __call__(self, done: int, total: int | None, what: str = "") -> None: ...


def no_progress(done: int, total: int | None, what: str = "") -> None:
    """Nobody watches."""
