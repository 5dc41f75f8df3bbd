"""The error for a message, or a part of a message, that cannot be used."""

from __future__ import annotations

from store.preference import Identifier, Problem


class UnusableMessage(Exception):
    """The message cannot be used. ``reason`` is a stable code. The text says what to fix and quotes nothing from the message.

    ``others``: if the message's own patient is unreadable, the other patients to whom its refusals still apply.
    """

    def __init__(self, reason: str, detail: str, path: str = "", others: tuple[Identifier, ...] = ()) -> None:
        self.reason, self.detail, self.path, self.others = reason, detail, path, others
        super().__init__(detail)

    def at(self, path: str) -> UnusableMessage:
        """The same error with another path."""
        return UnusableMessage(self.reason, self.detail, path)

    def with_others(self, others: tuple[Identifier, ...]) -> UnusableMessage:
        """The same error with further patients."""
        return UnusableMessage(self.reason, self.detail, self.path, others)

    def problem(self, path: str, attribute: str = "") -> Problem:
        """The same error as a problem of one attribute, when the rest of the message can be used."""
        return Problem(self.reason, path, self.detail, attribute)
