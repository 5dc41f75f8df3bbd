"""Notes: small texts by key that an adapter keeps between runs in addition to the cursor, for example the rest of its budget.

The store persists them (``store.runs.source_notes``). :class:`InMemoryNotes` is for an adapter that is used without a store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable


class Notes(Protocol):
    """The notes of one source. ``change`` reads and writes atomically, also between processes, and returns the new text."""

    def read(self, key: str) -> str | None: ...

    def change(self, key: str, update: Callable[[str | None], str]) -> str: ...


class InMemoryNotes:
    """Notes that are lost when the process ends."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, key: str) -> str | None:
        return self._texts.get(key)

    def change(self, key: str, update: Callable[[str | None], str]) -> str:
        with self._lock:
            self._texts[key] = update(self._texts.get(key))
            return self._texts[key]


@runtime_checkable
class HasNotes(Protocol):
    """An adapter that keeps notes. The caller that builds it replaces ``notes`` with persistent ones."""

    notes: Notes
