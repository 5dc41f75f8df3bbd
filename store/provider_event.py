"""What a messaging provider reports: a reply to a text, or its refusal to send one. Pure; adapters may import it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

REPLY, REFUSAL = "reply", "refusal"
STOP, START = "stop", "start"


class ProviderEvent(NamedTuple):
    """One event of a provider. ``kind``: :data:`REPLY` or :data:`REFUSAL`. ``key`` is the same for each repeat of it, and for nothing
    else; it is empty if the event has no id.

    ``at``: when the provider received the reply or refused to send; ``None`` if it does not say. ``at_unreadable``: it does, but not in a
    form that can be read. ``hint``: :data:`STOP` or :data:`START`, if the provider took the text for it. ``payload`` is the item as JSON.
    """

    kind: str
    key: str
    patient: str
    international: bool
    line: str
    text: str
    at: datetime | None
    at_unreadable: bool
    hint: str | None
    code: str
    payload: bytes
