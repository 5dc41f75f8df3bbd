"""Why a message, or a part of it, cannot be used."""

from __future__ import annotations

from store.preference import Problem


class Unusable(Exception):
    """The message cannot be used. ``reason`` is a stable code, the text says what to mend and quotes nothing."""

    def __init__(self, reason: str, detail: str, path: str = "") -> None:
        self.reason, self.detail, self.path = reason, detail, path
        super().__init__(detail)

    def at(self, path: str) -> Unusable:
        """The same, of a place."""
        return Unusable(self.reason, self.detail, path)

    def problem(self, path: str, attribute: str = "") -> Problem:
        """The same of one attribute only, while the rest of the message can be used."""
        return Problem(self.reason, path, self.detail, attribute)
