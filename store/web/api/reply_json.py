"""Unclear replies as JSON."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from store.patients.replies import KeptReply


class ReplyOut(Struct, frozen=True):
    """A reply. ``body`` is ``null`` if it was not kept or cannot be decrypted; ``patients`` have or had the number."""

    id: str
    state: str
    number: str
    line: str
    scope: str
    received: datetime
    recorded: datetime
    decided: datetime | None
    actor: str
    reason: str
    body: str | None
    patients: tuple[str, ...]


def reply_out(one: KeptReply) -> ReplyOut:
    """A reply, as JSON."""
    return ReplyOut(
        one.id, one.state, one.number, one.line, one.scope, one.received, one.recorded, one.decided, one.actor, one.reason,
        one.body, one.patients,
    )  # fmt: skip
