"""Why a message, or a part of it, cannot be used."""

from __future__ import annotations

from store.preference import Identifier, Problem


class UnusableMessage(Exception):
    """The message cannot be used. ``reason`` is a stable code, the text says what to mend and quotes nothing.

    ``others``: patients for whom it counts all the same if it refuses, where the one that it is about cannot be read.
    """

    def __init__(self, reason: str, detail: str, path: str = "", others: tuple[Identifier, ...] = ()) -> None:
        self.reason, self.detail, self.path, self.others = reason, detail, path, others
        super().__init__(detail)

    def at(self, path: str) -> UnusableMessage:
        """The same, of a place."""
        return UnusableMessage(self.reason, self.detail, path)

    def beside(self, others: tuple[Identifier, ...]) -> UnusableMessage:
        """The same of a message that names further patients."""
        return UnusableMessage(self.reason, self.detail, self.path, others)

    def problem(self, path: str, attribute: str = "") -> Problem:
        """The same of one attribute only, while the rest of the message can be used."""
        return Problem(self.reason, path, self.detail, attribute)
