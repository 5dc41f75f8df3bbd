"""What an adapter keeps for itself between runs, beside the cursor: small texts by key, such as what is left of its budget.

The store keeps them in earnest (``store.runs.source_notes``); :class:`Remembered` is for an adapter that is used by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable


class Notes(Protocol):
    """One source's notes. ``change`` reads and writes as one step, also against other processes; it returns the new text."""

    def read(self, key: str) -> str | None: ...

    def change(self, key: str, how: Callable[[str | None], str]) -> str: ...


class Remembered:
    """Notes that last as long as the process."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, key: str) -> str | None:
        return self._texts.get(key)

    def change(self, key: str, how: Callable[[str | None], str]) -> str:
        with self._lock:
            self._texts[key] = how(self._texts.get(key))
            return self._texts[key]


@runtime_checkable
class KeepsNotes(Protocol):
    """An adapter with something to remember. Whoever builds it puts lasting notes in the place of its own."""

    notes: Notes
